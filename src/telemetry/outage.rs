//! Logs an outage once at its beginning and once at its end, however often the call fails meanwhile.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Minimum interval between two log lines about outages that follow each other quickly. An outage that lasts is logged
/// after this time at the latest.
const MIN_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Outage of a dependency. Both calls are cheap when there is nothing to log.
#[derive(Debug)]
pub struct Outage {
    began: &'static str,
    over: &'static str,
    /// True if an outage is on, readable without the lock.
    is_on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Option<Instant>,
    /// True if the beginning of the present outage was logged.
    is_logged: bool,
    last_logged: Option<Instant>,
}

impl Outage {
    /// Makes an outage with the log lines of its beginning and of its end.
    pub const fn new(began: &'static str, over: &'static str) -> Self {
        let state = State { since: None, is_logged: false, last_logged: None };
        Self { began, over, is_on: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Notes a failure; logs the beginning of an outage.
    pub fn fails(&self, why: impl Display) {
        self.is_on.store(true, Ordering::Relaxed);
        if self.state().fails(Instant::now()) {
            log::warn!(error:% = why; "{}", self.began);
        }
    }

    /// Notes a success; logs the end of an outage.
    pub fn works(&self) {
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        self.is_on.store(false, Ordering::Relaxed);
        if let Some(lasted) = state.works(Instant::now()) {
            log::info!(lasted_ms:? = lasted.as_millis(); "{}", self.over);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes a failure; tells whether it has to be logged.
    fn fails(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        let is_recent = self.last_logged.is_some_and(|logged| now.duration_since(logged) < MIN_LOG_INTERVAL);
        if self.is_logged || is_recent {
            return false;
        }
        self.is_logged = true;
        self.last_logged = Some(now);
        true
    }

    /// Notes a success; returns the length of the outage if its end has to be logged.
    fn works(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since.take()?;
        if !std::mem::take(&mut self.is_logged) {
            return None;
        }
        self.last_logged = Some(now);
        Some(now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (State, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let state = State { since: None, is_logged: false, last_logged: None };
        (state, move |seconds| start + Duration::from_secs(seconds))
    }

    #[test]
    fn an_outage_is_logged_once_and_so_is_its_end() {
        let (mut state, at) = state();
        assert_eq!(state.works(at(0)), None);
        assert!(state.fails(at(1)));
        assert!(!(2..100).any(|second| state.fails(at(second))));
        assert_eq!(state.works(at(100)), Some(Duration::from_secs(99)));
        assert_eq!(state.works(at(101)), None);
        assert!(state.fails(at(105)));
    }

    #[test]
    fn what_comes_and_goes_is_logged_now_and_then() {
        let (mut state, at) = state();
        let mut told = 0;
        for second in 0..100 {
            told += usize::from(state.fails(at(second)));
            told += usize::from(state.works(at(second)).is_some());
        }
        assert_eq!(told, 40, "twice in five seconds");
    }

    #[test]
    fn one_that_begins_soon_after_another_is_logged_when_it_lasts() {
        let (mut state, at) = state();
        assert!(state.fails(at(0)));
        assert!(state.works(at(1)).is_some());
        assert!(!state.fails(at(2)));
        assert!(!state.fails(at(5)));
        assert!(state.fails(at(6)));
        assert_eq!(state.works(at(7)), Some(Duration::from_secs(5)));
    }
}
