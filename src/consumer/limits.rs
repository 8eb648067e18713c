//! Limits, time limits and intervals of the consumer side.

use std::time::Duration;

/// Records in one fetch from which on the load counts as high, so that fetches are spaced by
/// `Settings::min_batch_interval`.
pub(super) const BATCHING_THRESHOLD: usize = 16;
/// Maximum batches that one fetch may fill. Members that fetch at the same moment see the same free permits, so that
/// some of these batches may have to wait for one; this bounds how many.
pub(super) const MAX_BATCHES_PER_FETCH: usize = 16;

/// Interval between two heartbeats of a member's loop.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// Interval between two commits. A crash repeats at most this much finished work.
pub(super) const COMMIT_INTERVAL: Duration = Duration::from_millis(200);
/// Time limit of the last commit before a member leaves its group.
pub(super) const FINAL_COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which the backlog of a stopping member counts as taken.
pub(super) const BACKLOG_IDLE_AFTER: Duration = Duration::from_millis(50);

/// First pause before a failed batch is tried again.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Longest pause between two tries; jitter adds up to as much again. It bounds how soon work resumes after an outage.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Longest pause that a dependency may ask for (`Retry-After`).
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Maximum memory of one member's parked batches, in KiB.
pub(super) const PARKED_KIB: usize = 16 * 1024;
/// Memory that a record is taken to need besides the bytes of its value, in KiB.
pub(super) const RECORD_OVERHEAD_KIB: usize = 4;
/// Time after which a batch that only waits for its result to be published is parked.
pub(super) const PARK_AFTER: Duration = Duration::from_millis(500);

/// Time limit for writing or reading one health report.
pub(super) const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a health report.
pub(super) const HEALTH_REPORT_BYTES: u64 = 1024;
/// Pause after a failed accept, for lack of file descriptors for example.
pub(super) const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Time without a heartbeat after which a loop counts as stuck. The session timeout is added to it, because a rebalance
/// may rightly keep the loop busy for that long.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(30);
