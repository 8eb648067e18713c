//! Counts of errors that clients caused, logged together once a minute: a line for each would let clients fill the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Time between two log lines.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// Counts since the last log line.
#[derive(Debug, Default)]
pub struct ClientErrors {
    refused: AtomicU64,
    malformed: AtomicU64,
    cut: AtomicU64,
}

impl ClientErrors {
    /// Counts a request that was answered with 4xx.
    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that ended before a complete head of a request, although bytes had arrived.
    pub(super) fn count_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was ended because its client took too long or too much memory.
    pub(super) fn count_cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Logs a line after each minute in which something was counted, until `stop`.
    pub async fn report(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(REPORT_INTERVAL)).await.is_some() {
            self.log();
        }
        self.log();
    }

    fn log(&self) {
        let [refused, malformed, cut] =
            [&self.refused, &self.malformed, &self.cut].map(|count| count.swap(0, Ordering::Relaxed));
        if refused + malformed + cut > 0 {
            log::info!(refused, malformed, cut; "client errors");
        }
    }
}
