//! Limits, time limits and intervals of the Kafka clients.

use std::time::Duration;

/// Time limit for connecting and for a request for metadata. rskafka itself sets none on either.
pub(super) const METADATA_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for finding a partition's leader and connecting to it.
pub(super) const LEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit of one batch to one partition. A leader waits for a follower that has died until the cluster has noticed,
/// 9 s by Kafka's default: a second request in the meantime would only write the batch twice.
pub(super) const PRODUCE_TIMEOUT: Duration = Duration::from_secs(15);
/// Time limit of a whole `publish`, the wait in the queue included.
pub(super) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(20);
/// Time limit for reading a range of records, watermarks or committed offsets.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of the controller's answer to a request for a topic.
pub(super) const CREATE_TOPIC_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for making topics until each partition has a leader.
pub(super) const CREATE_TOPICS_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of a commit.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for leaving a group.
pub(super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of rskafka's own retries within a call. It is short, so that the cause is known soon and another broker
/// can be tried.
pub(super) const CLIENT_RETRY_TIMEOUT: Duration = Duration::from_millis(300);
/// Time for which a topic that was just made may be unknown to some brokers.
pub(super) const TOPIC_PROPAGATION_TIME: Duration = Duration::from_millis(500);
/// Pause before a request about an unknown topic is repeated.
pub(super) const TOPIC_RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Maximum age of the topic list by which records are placed, and so how soon added partitions are used.
pub(super) const TOPIC_LIST_MAX_AGE: Duration = Duration::from_secs(5);
/// Silence of one broker after which the next one of the list is asked as well.
pub(super) const NEXT_BROKER_DELAY: Duration = Duration::from_millis(300);
/// Time limit of one poll while a range is read.
pub(super) const READ_POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Time limit for flushing librdkafka's producer at the end of the process.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum size of a record: what brokers accept by default (`message.max.bytes`), less what Kafka's format adds. A
/// broker may accept less.
pub(super) const MAX_RECORD_BYTES: usize = (1 << 20) - 100;
/// Maximum records in one request.
pub(super) const MAX_BATCH_RECORDS: usize = 1_000;
/// Maximum bytes in one request.
pub(super) const MAX_BATCH_BYTES: usize = 900_000;
/// Maximum records in a partition's queue; beyond it `send` waits.
pub(super) const MAX_QUEUED_RECORDS: usize = 2 * MAX_BATCH_RECORDS;
/// Bytes of a request that rskafka writes to its socket in one part. It writes a request that is larger than its buffer
/// of 8 KiB in two parts and sets no `TCP_NODELAY`: over loopback, one of less than a segment (64 KiB) then waits 40 ms
/// for the delayed acknowledgement of the first part. So queued records that sum up to less than `SEGMENT_BYTES` are
/// sent in requests of at most this size.
pub(super) const ONE_WRITE_BYTES: usize = 7_000;
/// Bytes of queued records from which on large requests are used.
pub(super) const SEGMENT_BYTES: usize = 80_000;
/// Bytes that Kafka's format adds to most records.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 12;
/// Minimum interval between two requests for one partition under load: a broker's cost is by the request.
pub(super) const MIN_BATCH_INTERVAL: Duration = Duration::from_millis(16);
/// Records in a request from which on the load counts as high.
pub(super) const BATCHING_THRESHOLD: usize = 4;
/// Time without an answer after which a partition counts as slow: records without a key go to others.
pub(super) const SLOW_AFTER: Duration = Duration::from_millis(500);
/// Interval at which a silent leader is probed over another connection.
pub(super) const LEADER_PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Time after an answer during which a connection is trusted: its broker can't have been replaced so soon.
pub(super) const CONNECTION_TRUST_TIME: Duration = Duration::from_secs(5);
/// First pause before a failed partition is tried again.
pub(super) const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause before a failed partition is tried again.
pub(super) const MAX_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Maximum size of a batch that is read, in bytes. A larger one becomes a dead letter without its value.
pub(super) const MAX_READ_BATCH_BYTES: &str = "33554432";
/// Maximum interval between two heartbeats. Heartbeats tell the members that one has joined or left, so this is how
/// long a hand-over takes.
pub(super) const MAX_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// Minimum of `max.poll.interval.ms`. The thread polls whatever the application does, so only the wait for a
/// revocation's reply counts against it.
pub(super) const MIN_MAX_POLL_INTERVAL: Duration = Duration::from_mins(5);
/// Time limit of one poll of a member. It bounds how late leaving is noticed.
pub(super) const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Time limit of one poll while partitions are paused. It bounds how late free capacity in the inbox is noticed.
pub(super) const PAUSED_POLL_TIMEOUT: Duration = Duration::from_millis(5);
/// Time for which the inbox may be full before a partition is paused. librdkafka 2.12 needs up to a second to notice
/// that a partition is resumed; an inbox that is emptied sooner would run dry. A rebalance may be noticed this late.
pub(super) const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// Maximum records in a member's inbox.
pub(super) const MAX_INBOX_RECORDS: usize = 1_000;
/// Maximum bytes in a member's inbox.
pub(super) const MAX_INBOX_BYTES: usize = 8 << 20;
/// Time limit of one poll while a stand-by leaves. It bounds how late the end of a rebalance is noticed.
pub(super) const LEAVING_POLL_TIMEOUT: Duration = Duration::from_millis(5);
/// Time limit for a rebalance to end while a stand-by leaves: a heartbeat, and the second that librdkafka keeps between
/// two joins. Its caller is not kept waiting, since a stand-by has no work.
pub(super) const LEAVING_REBALANCE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two tries to make a consumer.
pub(super) const RESUBSCRIBE_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which brokers are probed while none is reachable.
pub(super) const BROKER_PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Time limit of such a probe, which keeps the thread from polling.
pub(super) const BROKER_PROBE_TIMEOUT: Duration = Duration::from_millis(100);
/// Absence after which the same error is reported again.
pub(super) const REPEAT_ERROR_AFTER: Duration = Duration::from_secs(30);
/// Duration of outdated metadata after which a topic counts as recreated.
pub(super) const STALE_METADATA_TIMEOUT: Duration = Duration::from_secs(3);
/// Time without outdated metadata after which it counts as over; longer than the interval at which metadata is
/// refreshed.
pub(super) const STALE_METADATA_OVER_AFTER: Duration = Duration::from_secs(12);
/// Interval at which the reply to a revocation is looked for.
pub(super) const REPLY_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Pause before a commit that met a rebalance is repeated.
pub(super) const COMMIT_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Time limit for reading one offset while the bounds of an undecodable batch are searched.
pub(super) const OFFSET_PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit of a broker's answer meanwhile.
pub(super) const OFFSET_QUERY_TIMEOUT: Duration = Duration::from_secs(2);
