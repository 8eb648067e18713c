//! Topics of the local broker and the logs of their partitions.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::limits;
use super::partition::{Log, size};
use crate::broker::partitioner::partition_for;
use crate::broker::{BrokerError, Position, Record, TopicPartition, TopicSpec};

/// Topics by name.
pub type Topics = HashMap<Arc<str>, Topic>;

/// Topic with its partitions.
#[derive(Debug)]
pub struct Topic {
    pub name: Arc<str>,
    pub logs: Vec<Log>,
    round_robin: AtomicUsize,
}

impl Topic {
    /// Makes a topic with empty partitions.
    pub fn new(spec: &TopicSpec) -> Self {
        Self {
            name: Arc::from(spec.name.as_str()),
            logs: (0..spec.partitions).map(|_| Log::default()).collect(),
            round_robin: AtomicUsize::new(0),
        }
    }

    /// Returns the number of partitions.
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.logs.len()).unwrap_or(i32::MAX)
    }

    /// Names one of the partitions.
    pub fn at(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.name), partition }
    }

    /// Lists the partitions.
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        (0..self.partition_count()).map(|partition| self.at(partition))
    }

    /// Appends a record to its partition. With `keep_all`, nothing is dropped before groups have committed it;
    /// otherwise the partition keeps its newest records only.
    pub fn append(&mut self, record: Record, keep_all: bool) -> Result<Position, BrokerError> {
        let bytes = size(&record);
        if bytes > limits::MAX_RECORD_BYTES {
            let reason = format!("{bytes} bytes are too many, at most {}", limits::MAX_RECORD_BYTES);
            return Err(BrokerError::Rejected(reason));
        }
        let partition = partition_for(record.key.as_deref(), &self.round_robin, self.partition_count());
        let log = usize::try_from(partition).ok().and_then(|index| self.logs.get_mut(index));
        let log = log.ok_or_else(|| unknown_topic(&self.name))?;
        if keep_all && !log.has_capacity_for(&record) {
            let reason = format!("{}-{partition} is full until its groups commit", self.name);
            return Err(BrokerError::Unavailable(reason));
        }
        let offset = log.append(record);
        if !keep_all {
            log.drop_excess();
        }
        Ok(Position { topic: Arc::clone(&self.name), partition, offset })
    }
}

/// Finds the log of a partition.
pub fn log_of<'a>(topics: &'a Topics, at: &TopicPartition) -> Option<&'a Log> {
    topics.get(&at.topic)?.logs.get(usize::try_from(at.partition).ok()?)
}

/// Makes the error of a topic that does not exist.
pub fn unknown_topic(topic: &str) -> BrokerError {
    BrokerError::UnknownTopic(topic.to_owned())
}
