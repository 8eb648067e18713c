//! Chance that a seed repeats (splitmix64).

use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same seed and purpose roll the same numbers.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed);
        // So that neighbouring seeds and purposes have nothing in common.
        dice.0 = dice.roll() ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93);
        dice.roll();
        dice
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws a number of `0..end`; `end` is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.roll() % end).unwrap_or_default()
    }

    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from)
    }

    /// In so many of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.roll() % 1000 < per_mille
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// From half of it to all of it.
    pub fn jitter(&mut self, wait: Duration) -> Duration {
        let half = wait / 2;
        let millis = usize::try_from(half.as_millis()).unwrap_or(usize::MAX).max(1);
        half + Duration::from_millis(u64::try_from(self.below(millis)).unwrap_or_default())
    }
}
