//! Everything the local broker knows: topics and groups, changed together under one lock that no await holds.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Notify;

use super::assignment::MemberId;
use super::group::Group;
use super::partition::{Log, size};
use crate::broker::partitioner::partition_for;
use crate::broker::{BrokerError, Membership, Position, Record, TopicPartition, TopicSpec};

/// Largest sum of a record's key, value and headers in bytes: a little less than Kafka's default, so what is
/// accepted here is accepted there.
const MAX_RECORD_BYTES: usize = 1_000_000;

/// State of the broker: its topics and groups.
#[derive(Debug, Default)]
pub struct State {
    pub topics: Topics,
    pub groups: HashMap<String, Group>,
    last_member: MemberId,
}

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
    fn new(spec: &TopicSpec) -> Self {
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

    fn at(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.name), partition }
    }

    /// Lists the partitions.
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        (0..self.partition_count()).map(|partition| self.at(partition))
    }

    /// `keep_all` until a group has committed; else only the newest.
    fn append(&mut self, record: Record, keep_all: bool) -> Result<Position, BrokerError> {
        let bytes = size(&record);
        if bytes > MAX_RECORD_BYTES {
            let reason = format!("{bytes} bytes are too many, at most {MAX_RECORD_BYTES}");
            return Err(BrokerError::Rejected(reason));
        }
        let partition = partition_for(record.key.as_deref(), &self.round_robin, self.partition_count());
        let log = usize::try_from(partition).ok().and_then(|index| self.logs.get_mut(index));
        let log = log.ok_or_else(|| unknown(&self.name))?;
        if keep_all && !log.has_room_for(&record) {
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
pub fn unknown(topic: &str) -> BrokerError {
    BrokerError::UnknownTopic(topic.to_owned())
}

impl State {
    /// Finds a topic.
    pub fn topic(&self, name: &str) -> Result<&Topic, BrokerError> {
        self.topics.get(name).ok_or_else(|| unknown(name))
    }

    /// Makes the topics that are missing; returns their names.
    pub fn ensure_topics(&mut self, specs: &[TopicSpec]) -> Result<Vec<String>, BrokerError> {
        if let Some(spec) = specs.iter().find(|spec| spec.partitions < 1) {
            let reason = format!("topic {} can't have {} partitions", spec.name, spec.partitions);
            return Err(BrokerError::Configuration(reason));
        }
        let mut made = Vec::new();
        for spec in specs {
            if !self.topics.contains_key(spec.name.as_str()) {
                let topic = Topic::new(spec);
                self.topics.insert(Arc::clone(&topic.name), topic);
                made.push(spec.name.clone());
            }
        }
        if !made.is_empty() {
            for group in self.groups.values_mut() {
                group.rebalance(&self.topics);
            }
        }
        Ok(made)
    }

    /// Appends records; returns a position or an error for each, in order.
    pub fn publish(&mut self, topic: &str, records: Vec<Record>) -> Vec<Result<Position, BrokerError>> {
        let Some(topic) = self.topics.get_mut(topic) else {
            return records.iter().map(|_| Err(unknown(topic))).collect();
        };
        let first = topic.at(0);
        let is_followed = self.groups.values().any(|group| group.needs_from(&first).is_some());
        let records = records.into_iter();
        let results: Vec<_> = records.map(|record| topic.append(record, is_followed)).collect();
        let grown: BTreeSet<i32> = results.iter().flatten().map(|position| position.partition).collect();
        for at in grown.into_iter().map(|partition| topic.at(partition)) {
            for group in self.groups.values() {
                group.wake_owner(&at);
            }
        }
        results
    }

    /// The new member is woken through what this returns.
    pub fn join(&mut self, membership: &Membership) -> (MemberId, Arc<Notify>) {
        self.last_member += 1;
        let group = self.groups.entry(membership.group.clone()).or_default();
        let wake = group.join(self.last_member, membership, &self.topics);
        (self.last_member, wake)
    }

    /// Removes a member from its group.
    pub fn leave(&mut self, group: &str, id: MemberId) {
        if let Some(group) = self.groups.get_mut(group) {
            group.leave(id, &self.topics);
        }
    }

    /// Stores the offsets of partitions that the member holds; an error when one of the others was among them.
    pub fn commit(
        &mut self,
        group: &str,
        id: MemberId,
        next_offsets: &[Position],
    ) -> Result<(), BrokerError> {
        let Some(committing) = self.groups.get_mut(group) else {
            return Ok(());
        };
        let result = committing.commit(id, next_offsets);
        for at in next_offsets.iter().map(Position::topic_partition) {
            self.drop_consumed(&at);
        }
        result
    }

    /// A revocation's end: commits, then lets the partitions go.
    pub fn give_back(
        &mut self,
        group: &str,
        id: MemberId,
        partitions: &[TopicPartition],
        next_offsets: &[Position],
    ) {
        if let Err(error) = self.commit(group, id, next_offsets) {
            log::warn!(group, error:%; "commit with a revocation refused");
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.give_back(id, partitions);
        }
    }

    fn drop_consumed(&mut self, at: &TopicPartition) {
        let needed = self.groups.values().filter_map(|group| group.needs_from(at)).min();
        let logs = self.topics.get_mut(&at.topic).map(|topic| &mut topic.logs);
        if let Some(needed) = needed
            && let Some(log) = logs.and_then(|logs| logs.get_mut(usize::try_from(at.partition).ok()?))
        {
            log.drop_below(needed);
        }
    }
}
