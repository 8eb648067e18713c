//! Retries of requests whose bytes the caller still holds.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::time::Instant;

use super::{StorageError, limits};

/// Tries again, with backoff and jitter, what the store can't do for a moment: a few times, and not for longer than a
/// client waits. A pause that the store asks for is kept if it is short.
pub(super) async fn while_unavailable<T, F>(attempt: impl FnMut() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    with_delays_from(limits::MIN_RETRY_DELAY, attempt).await
}

async fn with_delays_from<T, F>(min_delay: Duration, attempt: impl FnMut() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    use StorageError as E;
    let end = Instant::now() + limits::RETRY_WITHIN;
    let backoff =
        ExponentialBuilder::new().with_min_delay(min_delay).with_max_times(limits::MAX_RETRIES).with_jitter();
    attempt
        .retry(backoff)
        .when(move |error| {
            matches!(error, E::Unavailable(_) | E::Busy(..) | E::TimedOut) && Instant::now() < end
        })
        .adjust(|error, delay| {
            let pause = if let E::Busy(_, pause) = error { *pause } else { Duration::ZERO };
            delay.map(|delay| delay.max(pause)).filter(|delay| *delay <= limits::MAX_RETRY_PAUSE)
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Fails as often as `errors` has entries; returns the outcome and the number of attempts.
    async fn tried(errors: &[fn() -> StorageError]) -> (Result<(), StorageError>, usize) {
        let count = AtomicUsize::new(0);
        let attempt = || async {
            let number = count.fetch_add(1, Ordering::Relaxed);
            errors.get(number).map_or(Ok(()), |error| Err(error()))
        };
        let outcome = with_delays_from(Duration::from_millis(1), attempt).await;
        (outcome, count.into_inner())
    }

    const AWAY: fn() -> StorageError = || StorageError::Unavailable("away".to_owned());

    #[tokio::test]
    async fn a_moment_of_unavailability_is_survived_and_an_outage_is_not_waited_for() {
        let (outcome, attempts) = tried(&[AWAY, || StorageError::TimedOut]).await;
        assert!(outcome.is_ok() && attempts == 3, "{outcome:?} {attempts}");
        let (outcome, attempts) = tried(&[AWAY; 20]).await;
        assert!(outcome.is_err() && attempts == limits::MAX_RETRIES + 1, "{outcome:?} {attempts}");
    }

    #[tokio::test]
    async fn what_another_try_would_not_change_is_not_tried_again() {
        for error in [
            || StorageError::NotFound(String::new()),
            || StorageError::Denied(String::new()),
            || StorageError::Corrupt(String::new()),
            || StorageError::Other(String::new()),
            || StorageError::Busy(String::new(), Duration::from_hours(1)),
        ] {
            let (outcome, attempts) = tried(&[error]).await;
            assert!(outcome.is_err() && attempts == 1, "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_short_pause_that_the_store_asks_for_is_kept() {
        let began = Instant::now();
        let (outcome, _) = tried(&[|| StorageError::Busy(String::new(), Duration::from_millis(200))]).await;
        assert!(outcome.is_ok() && began.elapsed() >= Duration::from_millis(200), "{outcome:?}");
    }
}
