//! Says once that something fails and once that it works again, however often it is tried meanwhile.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What fails and works by turns is told at most so often, and what goes on after so long at the latest.
const QUIET: Duration = Duration::from_secs(5);

/// Outage of one thing that may fail for a while. Both calls are cheap when there is nothing to say.
#[derive(Debug)]
pub struct Outage {
    began: &'static str,
    over: &'static str,
    /// Whether `state` tells of an outage.
    is_on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Option<Instant>,
    /// This outage's beginning.
    is_told: bool,
    last_told: Option<Instant>,
}

impl Outage {
    /// The log lines of its beginning and of its end.
    pub const fn new(began: &'static str, over: &'static str) -> Self {
        let state = State { since: None, is_told: false, last_told: None };
        Self { began, over, is_on: AtomicBool::new(false), state: Mutex::new(state) }
    }

    pub fn fails(&self, why: impl Display) {
        self.is_on.store(true, Ordering::Relaxed);
        if self.state().fails(Instant::now()) {
            log::warn!(error:% = why; "{}", self.began);
        }
    }

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
    /// Whether that is to be told.
    fn fails(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        let is_quiet = self.last_told.is_some_and(|told| now.duration_since(told) < QUIET);
        if self.is_told || is_quiet {
            return false;
        }
        self.is_told = true;
        self.last_told = Some(now);
        true
    }

    /// How long it has failed, if that is to be told.
    fn works(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since.take()?;
        if !std::mem::take(&mut self.is_told) {
            return None;
        }
        self.last_told = Some(now);
        Some(now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (State, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let state = State { since: None, is_told: false, last_told: None };
        (state, move |seconds| start + Duration::from_secs(seconds))
    }

    #[test]
    fn an_outage_is_told_once_and_so_is_its_end() {
        let (mut state, at) = state();
        assert_eq!(state.works(at(0)), None);
        assert!(state.fails(at(1)));
        assert!(!(2..100).any(|second| state.fails(at(second))));
        assert_eq!(state.works(at(100)), Some(Duration::from_secs(99)));
        assert_eq!(state.works(at(101)), None);
        assert!(state.fails(at(105)));
    }

    #[test]
    fn what_comes_and_goes_is_told_now_and_then() {
        let (mut state, at) = state();
        let mut told = 0;
        for second in 0..100 {
            told += usize::from(state.fails(at(second)));
            told += usize::from(state.works(at(second)).is_some());
        }
        assert_eq!(told, 40, "twice in five seconds");
    }

    #[test]
    fn one_that_begins_soon_after_another_is_told_when_it_lasts() {
        let (mut state, at) = state();
        assert!(state.fails(at(0)));
        assert!(state.works(at(1)).is_some());
        assert!(!state.fails(at(2)));
        assert!(!state.fails(at(5)));
        assert!(state.fails(at(6)));
        assert_eq!(state.works(at(7)), Some(Duration::from_secs(5)));
    }
}
