//! Repeats what PostgreSQL undid because of another transaction, and what an old session could not do.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::DbError;

/// The waits between the tries of one piece of work.
pub(super) struct Tries {
    waits: ExponentialBackoff,
    /// Those that are left on a new session.
    sessions: u8,
}

impl Default for Tries {
    fn default() -> Self {
        let waits = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(5))
            .with_max_delay(Duration::from_millis(300))
            .with_max_times(8)
            .with_jitter();
        Self { waits: waits.build(), sessions: 1 }
    }
}

impl Tries {
    /// `None`: once more, now.
    pub async fn settle<T>(&mut self, outcome: Result<T, DbError>) -> Option<Result<T, DbError>> {
        let Err(error) = &outcome else { return Some(outcome) };
        if matches!(error, DbError::Contended(_)) {
            let Some(wait) = self.waits.next() else { return Some(outcome) };
            tokio::time::sleep(wait).await;
        } else if error.is_of_session() && self.sessions > 0 {
            // The next session is a new one.
            self.sessions -= 1;
        } else {
            return Some(outcome);
        }
        None
    }
}

/// Evaluates an attempt until it succeeds, fails for good, or has been made often enough. An attempt that failed has
/// done nothing: each is one statement or one transaction.
macro_rules! retrying {
    ($attempt:expr) => {{
        let mut tries = $crate::db::retry::Tries::default();
        loop {
            if let Some(outcome) = tries.settle($attempt.await).await {
                break outcome;
            }
        }
    }};
}
pub(super) use retrying;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_repeated_only_where_nothing_was_done_and_only_so_often() {
        let tried = async |error: DbError| {
            let mut count = 0;
            let outcome: Result<(), DbError> = retrying!(async {
                count += 1;
                Err(error.clone())
            });
            assert!(outcome.is_err());
            count
        };
        assert_eq!(tried(DbError::Contended(String::new())).await, 9);
        assert_eq!(tried(DbError::ReadOnly).await, 2);
        assert_eq!(tried(DbError::SessionLost(String::new())).await, 2);
        for error in [DbError::TimedOut, DbError::Unavailable(String::new()), DbError::Bug(String::new())] {
            assert_eq!(tried(error).await, 1);
        }
    }
}
