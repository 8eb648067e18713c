//! State of the local broker: its topics and groups, changed together under one lock that is never held across an
//! await.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;

use super::assignment::MemberId;
use super::group::Group;
use super::topic::{Topic, Topics, unknown_topic};
use crate::broker::{BrokerError, Membership, Position, Record, TopicPartition, TopicSpec};

/// State of the broker: its topics and groups.
#[derive(Debug, Default)]
pub struct State {
    pub topics: Topics,
    pub groups: HashMap<String, Group>,
    last_member: MemberId,
}

impl State {
    /// Finds a topic.
    pub fn topic(&self, name: &str) -> Result<&Topic, BrokerError> {
        self.topics.get(name).ok_or_else(|| unknown_topic(name))
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
            return records.iter().map(|_| Err(unknown_topic(topic))).collect();
        };
        // A group follows all partitions of a topic or none, so the first one tells.
        let first = topic.at(0);
        let is_followed = self.groups.values().any(|group| group.needs_from(&first).is_some());
        let records = records.into_iter();
        let results: Vec<_> = records.map(|record| topic.append(record, is_followed)).collect();
        let grown: BTreeSet<i32> = results.iter().flatten().map(|position| position.partition).collect();
        // Woken once for all records of the batch.
        for at in grown.into_iter().map(|partition| topic.at(partition)) {
            for group in self.groups.values() {
                group.wake_owner(&at);
            }
        }
        results
    }

    /// Adds a member to its group; returns its id and the signal that wakes it.
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

    /// Commits offsets of partitions that the member holds; fails when another partition is among them.
    pub fn commit(
        &mut self,
        group: &str,
        id: MemberId,
        next_offsets: &[Position],
    ) -> Result<(), BrokerError> {
        let Some(committing) = self.groups.get_mut(group) else {
            return Ok(());
        };
        // Partial on purpose: offsets of the member's own partitions count even when others are refused.
        let result = committing.commit(id, next_offsets);
        for at in next_offsets.iter().map(Position::topic_partition) {
            self.drop_consumed(&at);
        }
        result
    }

    /// Ends a revocation: commits, then releases the partitions.
    pub fn release(
        &mut self,
        group: &str,
        id: MemberId,
        partitions: &[TopicPartition],
        next_offsets: &[Position],
    ) {
        if let Err(error) = self.commit(group, id, next_offsets) {
            log::warn!(group, error:%; "commit at a revocation refused");
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.release(id, partitions);
        }
    }

    /// Drops the records that every group has committed.
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
