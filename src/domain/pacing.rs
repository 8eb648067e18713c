//! Rounds of work under load: fewer and larger, so that each record costs less. A lone record waits for nothing.

use std::time::{Duration, Instant};

/// After a round of a crowd the next one begins no sooner than `every` after it began.
#[derive(Debug)]
pub struct Pacing {
    every: Duration,
    crowd: usize,
    next: Option<Instant>,
}

impl Pacing {
    /// So many in one round are a crowd.
    pub const fn new(every: Duration, crowd: usize) -> Self {
        Self { every, crowd, next: None }
    }

    /// A round began at `started` and had `count` of them.
    pub fn round(&mut self, started: Instant, count: usize) {
        self.next = (count >= self.crowd).then(|| started + self.every);
    }

    /// How long to wait for the next round; `None`: not at all. To timers a wait for nothing is one for their next tick.
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        self.next?.checked_duration_since(now).filter(|pause| !pause.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(20);

    #[test]
    fn only_after_a_crowd_the_next_round_waits_and_no_longer_than_its_turn() {
        let began = Instant::now();
        let mut pace = Pacing::new(EVERY, 8);
        assert_eq!(pace.pause(began), None);
        pace.round(began, 7);
        assert_eq!(pace.pause(began), None);
        pace.round(began, 8);
        assert_eq!(pace.pause(began + Duration::from_millis(5)), Some(Duration::from_millis(15)));
        assert_eq!(pace.pause(began + Duration::from_millis(25)), None);
        pace.round(began + Duration::from_millis(25), 1);
        assert_eq!(pace.pause(began + Duration::from_millis(25)), None);
    }
}
