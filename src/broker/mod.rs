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
use crate::domain::{Error, ErrorCode};

pub use receipt::Receipt;
pub use record::{Delivery, Headers, Position, Record, TopicPartition, Undecodable};

/// Error of a broker call, by what a caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    /// No broker is reachable, or it is overloaded or timed out: the same call may succeed later.
    #[error("kafka is unavailable: {0}")]
    Unavailable(String),
    /// The partition has no leader that answers; others may have one.
    #[error("a partition is unavailable: {0}")]
    PartitionUnavailable(String),
    /// The topic does not exist.
    #[error("kafka has no topic {0}; `filesys migrate` makes it")]
    UnknownTopic(String),
    /// The record will never be accepted: it is too large, or the broker's rules refuse it.
    #[error("kafka refused the record: {0}")]
    Rejected(String),
    /// Credentials, ACLs or settings are wrong.
    #[error("kafka refused the client: {0}")]
    Configuration(String),
}

/// Topic that shall exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: i32,
}

/// Watermarks of a partition: the oldest kept offset and the next one to be written.
///
/// Offsets in between may belong to transaction markers, aborted records and compacted records, which are never read: a group
/// has consumed a partition when it has committed `high`, or when nothing can be read from its committed offset on and
/// `stable` is not below `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    pub partition: i32,
    pub low: i64,
    pub high: i64,
    /// Last stable offset: the beginning of the oldest open transaction, or `high` where there is none. Nothing from
    /// here on is read yet.
    pub stable: i64,
}

/// Parameters of a member of a consumer group. A partition without a committed offset starts at its oldest record.
#[derive(Debug, Clone)]
pub struct Membership {
    pub group: String,
    /// Name shown by tools that describe the group; unique within the process.
    pub client_id: String,
    pub topics: Vec<String>,
    pub session_timeout: Duration,
}

/// Event that `Member::next` returns.
#[derive(Debug)]
pub enum MemberEvent {
    /// Partitions that the member owns from now on, in addition to those it has. Their records start at the group's
    /// committed offset.
    Assigned(Vec<TopicPartition>),
    /// Partitions that are taken away.
    Revoked(Revocation),
    /// At least one record. Those of a partition come in the order of their offsets, and none that can be read is left
    /// out.
    Records(Vec<Delivery>),
    /// Nothing that can be read is left below this offset: behind the last record there are transaction markers,
    /// aborted records, or gaps that compaction left.
    EndReached(Position),
    /// Error that an operator should know of; the member keeps trying and recovers by itself.
    Error(BrokerError),
}

/// Partitions that are taken away. The member owns them until the reply, which the group waits for (bounded by the
/// session timeout). Dropping this replies with nothing to commit.
#[derive(Debug)]
pub struct Revocation {
    pub partitions: Vec<TopicPartition>,
    /// Takes the next offsets to consume, which are committed before the partitions are released.
    pub reply: oneshot::Sender<Vec<Position>>,
}

/// Membership in a consumer group. Heartbeats are sent in the background, however long `next` is not called.
///
/// Guarantees: a partition has one owner in the group; after the reply to a `Revoked`, no record of its partitions that
/// was fetched before is delivered; memory for records not yet asked for is bounded.
#[async_trait]
pub trait Member: Send {
    /// Waits for the next event, with at most `limit` records. With 0 only assignments, revocations and errors come,
    /// and fetching pauses. Cancel safe: a dropped call loses nothing.
    async fn next(&mut self, limit: usize) -> MemberEvent;

    /// Commits next offsets to consume (last finished + 1). Starts at once, and `next` can be called meanwhile.
    /// Resolves within a bounded time, with `Ok` once the group's coordinator has stored them.
    fn commit(&self, next_offsets: Vec<Position>) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// Tells whether the group has accepted this member, with partitions or as a stand-by, and its brokers are
    /// reachable.
    fn is_joined(&self) -> bool {
        true
    }

    /// Leaves at once, so that others take over without waiting for the session timeout. Does not commit.
    async fn leave(self: Box<Self>);
}

/// Kafka, or something with its semantics. Every call returns within a bounded time.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Appends records: those with a key to the key's partition (murmur2, as Kafka's own clients do), the others round
    /// robin to the partitions that answer. Returns a receipt for each record, in order, once all of them are in their
    /// partitions' queues. Records with a key keep their order.
    async fn send(&self, topic: &str, records: Vec<Record>) -> Vec<Receipt>;

    /// Sends the records like `send`, and waits for the outcome of each.
    async fn publish(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Position, BrokerError>> {
        futures_util::future::join_all(self.send(topic, records).await).await
    }

    /// Joins a group. Returns at once; assignments come as events. Unreachable brokers are waited for in the
    /// background.
    async fn join(&self, membership: Membership) -> Result<Box<dyn Member>, BrokerError>;

    /// Reads up to `max` records from `from.offset` on, without a group. Returns none at the end, and never waits for
    /// more.
    async fn read(&self, from: &Position, max: usize) -> Result<Vec<Delivery>, BrokerError>;

    /// Returns the watermarks of every partition, in order.
    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, BrokerError>;

    /// Returns the group's committed next offsets of the topic, by partition; partitions that it never committed are
    /// absent.
    async fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, BrokerError>;

    /// Makes the topics that are missing and leaves the others as they are. Returns the names of those it made.
    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<Vec<String>, BrokerError>;

    /// Lists the topics and their numbers of partitions.
    async fn topics(&self) -> Result<BTreeMap<String, i32>, BrokerError>;

    /// Returns the settings of those of these topics that exist.
    async fn topic_settings(&self, topics: &[&str]) -> Result<BTreeMap<String, TopicSettings>, BrokerError>;
}

impl From<BrokerError> for Error {
    fn from(error: BrokerError) -> Self {
        let outside = match &error {
            // Wrong credentials and missing topics are corrected by an operator; until then they are an outage, so that
            // no file fails because of them.
            BrokerError::Unavailable(_)
            | BrokerError::PartitionUnavailable(_)
            | BrokerError::UnknownTopic(_)
            | BrokerError::Configuration(_) => {
                Self::new(ErrorCode::KafkaUnavailable, "Kafka is not available; try again shortly")
            }
            BrokerError::Rejected(_) => Self::internal("Kafka refused the record"),
        };
        outside.because(error)
    }
}
