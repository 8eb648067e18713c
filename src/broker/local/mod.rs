//! The in-process broker of `filesys up`: Kafka's semantics in memory, nothing durable.
//!
//! Memory is bounded. A partition of a topic that groups follow keeps the records above the lowest committed offset; a
//! group follows a topic from its first join on, for ever. When these records take 64 MiB, publishing to the partition
//! fails as `Unavailable` until a commit frees memory. A partition of a topic that no group follows keeps its newest
//! 10,000 records or 16 MiB: join before publishing what must not be lost.
//!
//! The time limit of a revocation runs from the moment the member takes it; a member that never calls `next` keeps its
//! partitions. A commit by a member that does not hold the partition (any more) is `Rejected`.

mod assignment;
mod group;
mod limits;
mod member;
mod partition;
mod state;
mod topic;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use self::member::LocalMember;
use self::partition::StoredRecord;
use self::state::State;
use self::topic::unknown_topic;
use super::{
    Broker, BrokerError, Delivery, Member, Membership, Position, Receipt, Record, TopicSpec, Watermarks,
};
use crate::domain::topic_settings::TopicSettings;

/// Broker in memory. Clones are handles to the same broker.
#[derive(Debug, Clone, Default)]
pub struct LocalBroker {
    state: Arc<Mutex<State>>,
}

impl LocalBroker {
    /// Locks the state. Each change is complete before anything can panic, so the state behind a poisoned lock is
    /// valid.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for LocalBroker {
    async fn send(&self, topic: &str, records: Vec<Record>) -> Vec<Receipt> {
        // Nothing below awaits: a publisher in a loop would never yield to other tasks.
        tokio::task::coop::consume_budget().await;
        self.state().publish(topic, records).into_iter().map(Receipt::known).collect()
    }

    async fn join(&self, membership: Membership) -> Result<Box<dyn Member>, BrokerError> {
        Ok(Box::new(LocalMember::join(self, membership)))
    }

    async fn read(&self, from: &Position, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        let state = self.state();
        let topic = state.topic(&from.topic)?;
        let log = usize::try_from(from.partition).ok().and_then(|index| topic.logs.get(index));
        let records = log.ok_or_else(|| unknown_topic(&from.topic))?.read(from.offset).take(max);
        let delivery = |(offset, stored): (i64, &StoredRecord)| Delivery {
            position: Position { topic: Arc::clone(&topic.name), partition: from.partition, offset },
            timestamp_ms: stored.timestamp_ms,
            record: stored.record.clone(),
            undecodable: None,
        };
        Ok(records.map(delivery).collect())
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, BrokerError> {
        let state = self.state();
        let topic = state.topic(topic)?;
        let partitions = (0..).zip(&topic.logs);
        let watermarks = partitions.map(|(partition, log)| Watermarks {
            partition,
            low: log.low(),
            high: log.high(),
            stable: log.high(),
        });
        Ok(watermarks.collect())
    }

    async fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, BrokerError> {
        let state = self.state();
        state.topic(topic)?;
        Ok(state.groups.get(group).map(|group| group.committed(topic)).unwrap_or_default())
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<Vec<String>, BrokerError> {
        self.state().ensure_topics(topics)
    }

    async fn topics(&self) -> Result<BTreeMap<String, i32>, BrokerError> {
        let state = self.state();
        let topics = state.topics.values();
        Ok(topics.map(|topic| (topic.name.to_string(), topic.partition_count())).collect())
    }

    /// Lists topics without settings: this broker has none.
    async fn topic_settings(&self, topics: &[&str]) -> Result<BTreeMap<String, TopicSettings>, BrokerError> {
        let mut existing = self.topics().await?;
        existing.retain(|topic, _| topics.contains(&topic.as_str()));
        let defaults = |partitions| TopicSettings { partitions, ..TopicSettings::default() };
        Ok(existing.into_iter().map(|(topic, partitions)| (topic, defaults(partitions))).collect())
    }
}

#[cfg(test)]
mod tests;
