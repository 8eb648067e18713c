//! The `Broker` trait: publish, join a consumer group, read a range, manage topics. Kafka's terms and semantics.

#[cfg(test)]
pub mod conformance;
pub mod dead_letter;
pub mod kafka;
pub mod local;
pub mod partitioner;
pub mod receipt;
pub mod record;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::domain::topic_settings::TopicSettings;
use crate::domain::{Error, ErrorKind};

pub use receipt::Receipt;
pub use record::{Delivery, Headers, Position, Record, TopicPartition, Undecodable};

/// Why a broker call failed, and so what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    /// Unreachable, overloaded, moving a leader, timed out: the same call may succeed later.
    #[error("kafka is unavailable: {0}")]
    Unavailable(String),
    /// The partition has no leader that answers; others may have one.
    #[error("a partition is unavailable: {0}")]
    PartitionUnavailable(String),
    #[error("kafka has no topic {0}; `filesys migrate` makes it")]
    UnknownTopic(String),
    /// This record will never be accepted (too large, refused by the broker's rules).
    #[error("kafka refused the record: {0}")]
    Rejected(String),
    /// Credentials, ACLs or settings are wrong.
    #[error("kafka refused the client: {0}")]
    Configuration(String),
}

/// A topic to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: i32,
}

/// The oldest kept offset and the next one to be written (the high watermark).
///
/// Offsets of transaction markers, aborted records and compacted records lie in between, and nothing is read there: a group is
/// done with a partition when it has committed `high`, or when nothing can be read from its committed offset on and `stable`
/// is not below `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    pub partition: i32,
    pub low: i64,
    pub high: i64,
    /// The beginning of the oldest open transaction, or `high` where there is none: nothing from here on is read yet.
    pub stable: i64,
}

/// How to be a member of a consumer group. A partition without a committed offset starts at its oldest record.
#[derive(Debug, Clone)]
pub struct Membership {
    pub group: String,
    /// Shown by the group's describe tools; unique within the process.
    pub client_id: String,
    pub topics: Vec<String>,
    pub session_timeout: Duration,
}

/// What `Member::next` gives.
#[derive(Debug)]
pub enum MemberEvent {
    /// These partitions are ours from now on, in addition to those we have. Their records start at the
    /// group's committed offset.
    Assigned(Vec<TopicPartition>),
    Revoked(Revocation),
    /// At least one record, each partition's in offset order without gaps that we could have read.
    Records(Vec<Delivery>),
    /// Nothing that can be read is left below this offset: behind the last record there are transaction markers, aborted
    /// records, or gaps that compaction left.
    Passed(Position),
    /// Something an operator should know; membership goes on by itself and later heals.
    Trouble(BrokerError),
}

/// Partitions that are being taken away. They stay ours until the reply, which the group waits for (bounded by
/// the session timeout); dropping this replies with nothing to commit.
#[derive(Debug)]
pub struct Revocation {
    pub partitions: Vec<TopicPartition>,
    /// Next offsets to consume, committed before the partitions go.
    pub reply: oneshot::Sender<Vec<Position>>,
}

/// Membership in a consumer group. Heartbeats go on by themselves, however long `next` is not called.
///
/// What holds: a partition has one owner in the group; after a `Revoked` is replied to, no record of those
/// partitions fetched before is ever delivered; memory for records not yet asked for is bounded.
#[async_trait]
pub trait Member: Send {
    /// Waits for the next event. At most `limit` records; with 0 only assignments, revocations and trouble, while
    /// fetching pauses. Cancel safe: a dropped call loses nothing.
    async fn next(&mut self, limit: usize) -> MemberEvent;

    /// Commits next offsets to consume (last handled + 1). `Ok` once the group's coordinator has stored them; within a
    /// bounded time. Begins at once; the member can be asked for events meanwhile.
    fn commit(&self, next_offsets: Vec<Position>) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// Whether the group has taken us in, with partitions or as a stand-by, and its brokers can be reached.
    fn is_joined(&self) -> bool {
        true
    }

    /// Leaves at once so that others take over without waiting for the session timeout. Does not commit.
    async fn leave(self: Box<Self>);
}

/// A Kafka, or something with its semantics. Every call returns within a bounded time.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Appends records: those with a key to the key's partition (murmur2, as Kafka's own clients), the others round
    /// robin over the partitions that answer. One receipt for each record, in the order given, at once or as soon as
    /// there is room in the partitions' queues. Records with a key keep their order.
    async fn send(&self, topic: &str, records: Vec<Record>) -> Vec<Receipt>;

    /// Sends the records like `send`, and waits for the outcome of each.
    async fn publish(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Position, BrokerError>> {
        futures_util::future::join_all(self.send(topic, records).await).await
    }

    /// Joins a group. Returns at once; assignments come as events. An unreachable broker is waited for.
    async fn join(&self, membership: Membership) -> Result<Box<dyn Member>, BrokerError>;

    /// Reads without a group: up to `max` records from `from.offset` on; empty at the end, never waits for more.
    async fn read(&self, from: &Position, max: usize) -> Result<Vec<Delivery>, BrokerError>;

    /// Every partition's watermarks, in partition order.
    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, BrokerError>;

    /// The group's committed next offsets of the topic, by partition; one that it never committed is absent.
    async fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, BrokerError>;

    /// Makes the topics that are missing; leaves the others as they are. Returns the names of those it made.
    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<Vec<String>, BrokerError>;

    /// Number of partitions by topic.
    async fn topics(&self) -> Result<BTreeMap<String, i32>, BrokerError>;

    /// Settings of those of these topics that there are.
    async fn topic_settings(&self, topics: &[&str]) -> Result<BTreeMap<String, TopicSettings>, BrokerError>;
}

impl From<BrokerError> for Error {
    fn from(error: BrokerError) -> Self {
        let outside = match &error {
            // Wrong credentials and missing topics are mended outside; until then it is an outage.
            BrokerError::Unavailable(_)
            | BrokerError::PartitionUnavailable(_)
            | BrokerError::UnknownTopic(_)
            | BrokerError::Configuration(_) => Self::new(
                ErrorKind::Unavailable,
                "kafka_unavailable",
                "Kafka is not available; try again shortly",
            ),
            BrokerError::Rejected(_) => Self::internal("Kafka refused the record"),
        };
        outside.because(error)
    }
}
