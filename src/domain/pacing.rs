//! Pacing of batches under load: fewer and larger ones, so that each record costs less. A lone record never waits.

use std::time::{Duration, Instant};

/// Minimum interval between the starts of batches, which applies after a large batch only.
#[derive(Debug)]
pub struct Pacing {
    interval: Duration,
    threshold: usize,
    next: Option<Instant>,
}

impl Pacing {
    /// Paces the batch after one of at least `threshold` records.
    pub const fn new(interval: Duration, threshold: usize) -> Self {
        Self { interval, threshold, next: None }
    }

    /// Records that a batch of `count` records began at `started`.
    pub fn record(&mut self, started: Instant, count: usize) {
        self.next = (count >= self.threshold).then(|| started + self.interval);
    }

    /// Returns the time until the next batch may start; `None` if it may start now. Never zero: a timer of zero waits for its next
    /// tick.
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        self.next?.checked_duration_since(now).filter(|pause| !pause.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(20);

    #[test]
    fn only_after_a_large_batch_the_next_one_waits() {
        let began = Instant::now();
        let mut pace = Pacing::new(INTERVAL, 8);
        assert_eq!(pace.pause(began), None);
        pace.record(began, 7);
        assert_eq!(pace.pause(began), None);
        pace.record(began, 8);
        assert_eq!(pace.pause(began + Duration::from_millis(5)), Some(Duration::from_millis(15)));
        assert_eq!(pace.pause(began + Duration::from_millis(25)), None);
        pace.record(began + Duration::from_millis(25), 1);
        assert_eq!(pace.pause(began + Duration::from_millis(25)), None);
    }
}
