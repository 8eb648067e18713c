//! The store's clock. The store checks the times of signatures by it, so requests are signed by it where this machine's
//! differs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use crate::storage::limits;

fn seconds_ahead(date: &str) -> Option<i64> {
    let date = DateTime::parse_from_rfc2822(date).ok()?;
    Some((date.to_utc() - DateTime::<Utc>::from(SystemTime::now())).num_seconds())
}

/// Returns by how many seconds the store's clock is ahead, from the `Date` header of a response that has just come.
pub(in crate::storage) fn ahead_secs(headers: &http::HeaderMap) -> Option<i64> {
    seconds_ahead(headers.get(http::header::DATE)?.to_str().ok()?)
}

/// Returns the store's time; `ahead_secs` is by how much its clock is ahead of this machine's.
pub(super) fn store_time(ahead_secs: i64) -> SystemTime {
    let (now, difference) = (SystemTime::now(), Duration::from_secs(ahead_secs.unsigned_abs()));
    if ahead_secs < 0 { now - difference } else { now + difference }
}

/// Difference between the store's clock and this machine's; 0 until the store has refused a signature.
#[derive(Debug, Default)]
pub(in crate::storage) struct StoreClock {
    ahead_secs: AtomicI64,
}

impl StoreClock {
    /// Returns the seconds by which the store's clock is ahead of this machine's.
    pub fn ahead_secs(&self) -> i64 {
        self.ahead_secs.load(Ordering::Relaxed)
    }

    /// Sets the difference from the `Date` header of a response that has just come.
    pub fn set(&self, date: &str) {
        let Some(ahead) = seconds_ahead(date) else { return };
        let known = self.ahead_secs.load(Ordering::Relaxed);
        // The header has whole seconds, and the response took a moment: small differences are no news.
        if ahead.abs_diff(known) <= limits::CLOCK_TOLERANCE_SECS
            || ahead.unsigned_abs() > limits::MAX_CLOCK_SKEW_SECS
        {
            return;
        }
        self.ahead_secs.store(ahead, Ordering::Relaxed);
        log::warn!(
            store_ahead_s = ahead;
            "this machine's clock and the object store's differ; requests are signed by the store's"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_secs(secs: i64) -> String {
        (Utc::now() + chrono::Duration::seconds(secs)).to_rfc2822()
    }

    #[test]
    fn a_clock_that_is_off_is_followed_when_it_jumps_and_not_for_each_second() {
        let clock = StoreClock::default();
        assert_eq!(clock.ahead_secs(), 0);
        for ahead in [3600, -3600, 0] {
            clock.set(&in_secs(ahead));
            let known = clock.ahead_secs();
            assert!((known - ahead).abs() <= 2, "{known} {ahead}");
            clock.set(&in_secs(ahead + 10));
            assert_eq!(clock.ahead_secs(), known);
        }
    }

    #[test]
    fn what_is_no_time_or_another_century_changes_nothing() {
        let clock = StoreClock::default();
        for date in ["", "yesterday", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            clock.set(date);
            assert_eq!(clock.ahead_secs(), 0, "{date}");
        }
        clock.set("Sat, 03 Jan 2026 00:00:00 GMT");
        assert_ne!(clock.ahead_secs(), 0);
    }
}
