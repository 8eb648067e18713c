//! Counts of what clients did wrong, for one line in the log now and then: a line for each would be theirs to write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Between two lines.
const EVERY: Duration = Duration::from_mins(1);

/// Since the last line.
#[derive(Debug, Default)]
pub struct Tally {
    refused: AtomicU64,
    malformed: AtomicU64,
    cut: AtomicU64,
}

impl Tally {
    /// A request was answered with 4xx.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended behind something that was no complete head of a request.
    pub(super) fn no_request(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was ended because its client took too long or too much.
    pub(super) fn cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes a line each minute in which there was anything, until `stop`.
    pub async fn report(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            self.write();
        }
        self.write();
    }

    fn write(&self) {
        let [refused, malformed, cut] =
            [&self.refused, &self.malformed, &self.cut].map(|count| count.swap(0, Ordering::Relaxed));
        if refused + malformed + cut > 0 {
            log::info!(refused, malformed, cut; "client errors");
        }
    }
}
