//! Repeats what PostgreSQL undid because of another transaction, and what an old session could not do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::DbError;

/// Tries of one piece of work, and the backoff between them.
pub(super) struct Tries {
    waits: ExponentialBackoff,
    /// Tries that are left on a new session.
    sessions: u8,
}

/// Progress of an attempt: whether a broken connection may have left its work done.
#[derive(Debug)]
pub(super) struct Progress(AtomicBool);

impl Progress {
    /// Starts a transaction: nothing that is sent changes anything before the commit.
    pub const fn of_transaction() -> Self {
        Self(AtomicBool::new(true))
    }

    /// Starts a statement of its own: once it is sent it may have been done.
    pub const fn of_statement() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Notes that a try begins.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Notes that the commit is sent: from here on its outcome may be unknown.
    pub fn commit_sent(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn has_changed_nothing(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
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
    pub async fn finish<T>(
        &mut self,
        outcome: Result<T, DbError>,
        progress: &Progress,
    ) -> Option<Result<T, DbError>> {
        let Err(error) = &outcome else { return Some(outcome) };
        if matches!(error, DbError::Contended(_)) {
            let Some(wait) = self.waits.next() else { return Some(outcome) };
            tokio::time::sleep(wait).await;
        } else if self.sessions > 0
            && (error.needs_new_session()
                || matches!(error, DbError::Lost(_)) && progress.has_changed_nothing())
        {
            // The next session is a new one, or one that is alive.
            self.sessions -= 1;
        } else {
            return Some(outcome);
        }
        None
    }
}

/// Evaluates an attempt until it succeeds, fails for good, or has been made often enough. An attempt that PostgreSQL
/// refused has done nothing: each is one statement or one transaction. One whose connection broke is made again only
/// where its progress says that it has changed nothing.
macro_rules! retry {
    ($progress:expr, $attempt:expr) => {{
        let progress: &$crate::db::retry::Progress = &$progress;
        let mut tries = $crate::db::retry::Tries::default();
        loop {
            if let Some(outcome) = tries.finish($attempt.await, progress).await {
                break outcome;
            }
        }
    }};
}
pub(super) use retry;

/// Asks a question until it is answered, as `retry`: one whose connection broke is asked once more on another.
macro_rules! retry_read {
    ($attempt:expr) => {
        $crate::db::retry::retry!($crate::db::retry::Progress::of_transaction(), $attempt)
    };
}
pub(super) use retry_read;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_repeated_only_where_nothing_was_done_and_only_so_often() {
        let tried_with = async |progress: Progress, error: DbError| {
            let mut count = 0;
            let outcome: Result<(), DbError> = retry!(progress, async {
                count += 1;
                Err(error.clone())
            });
            assert!(outcome.is_err());
            count
        };
        let tried = async |error| tried_with(Progress::of_statement(), error).await;
        assert_eq!(tried(DbError::Contended(String::new())).await, 9);
        assert_eq!(tried(DbError::ReadOnly).await, 2);
        assert_eq!(tried(DbError::SessionLost(String::new())).await, 2);
        let lost = || DbError::Lost(String::new());
        for error in
            [DbError::TimedOut, DbError::Unavailable(String::new()), DbError::Bug(String::new()), lost()]
        {
            assert_eq!(tried(error).await, 1);
        }
        assert_eq!(tried_with(Progress::of_transaction(), lost()).await, 2);
        let progress = Progress::of_transaction();
        progress.commit_sent();
        assert_eq!(tried_with(progress, lost()).await, 1);
    }
}
