//! A consumer group: its members, and for each partition who holds it, who is to hold it and what is committed.
//!
//! A partition changes hands in this order: `target` changes · the holder takes `Revoked` (`Owner` → `Releasing`) · it
//! replies, leaves or its time is up (→ `Unowned`) · the target takes `Assigned` (→ `Owner`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::assignment::{MemberId, Target, balance};
use super::topic::{Topics, log_of};
use crate::broker::{BrokerError, Delivery, Membership, Position, TopicPartition};

/// Consumer group: its members, who owns which partition, and its committed offsets.
#[derive(Debug, Default)]
pub struct Group {
    members: BTreeMap<MemberId, MemberState>,
    /// Every partition of every topic that was ever subscribed to.
    partitions: BTreeMap<TopicPartition, PartitionState>,
}

#[derive(Debug)]
struct MemberState {
    topics: Vec<String>,
    wake: Arc<Notify>,
    /// Errors that the member has not been told yet.
    errors: VecDeque<BrokerError>,
}

#[derive(Debug, Default)]
struct PartitionState {
    committed: Option<i64>,
    target: Option<MemberId>,
    holder: Holder,
}

#[derive(Debug, Default)]
enum Holder {
    #[default]
    Unowned,
    Owner {
        member: MemberId,
        /// The offset to deliver next.
        next: i64,
    },
    Releasing {
        member: MemberId,
        /// Task that waits for the reply, shared by all partitions of one revocation; aborted with the last of them.
        _wait: Arc<AbortOnDropHandle<()>>,
    },
}

impl PartitionState {
    fn is_held_by(&self, id: MemberId) -> bool {
        match self.holder {
            Holder::Unowned => false,
            Holder::Owner { member, .. } | Holder::Releasing { member, .. } => member == id,
        }
    }

    fn is_to_be_revoked_from(&self, id: MemberId) -> bool {
        matches!(self.holder, Holder::Owner { member, .. } if member == id) && self.target != Some(id)
    }
}

impl Group {
    /// Returns the committed offsets of a topic, by partition.
    pub fn committed(&self, topic: &str) -> BTreeMap<i32, i64> {
        let partitions = self.partitions.iter().filter(|(at, _)| &*at.topic == topic);
        partitions.filter_map(|(at, state)| Some((at.partition, state.committed?))).collect()
    }

    /// Adds a member; returns the signal that wakes it.
    pub fn join(&mut self, id: MemberId, membership: &Membership, topics: &Topics) -> Arc<Notify> {
        let missing = |topic: &&String| !topics.contains_key(topic.as_str());
        let missing_topics = membership.topics.iter().filter(missing).cloned();
        let wake = Arc::new(Notify::new());
        let member = MemberState {
            topics: membership.topics.clone(),
            wake: Arc::clone(&wake),
            errors: missing_topics.map(BrokerError::UnknownTopic).collect(),
        };
        self.members.insert(id, member);
        self.rebalance(topics);
        wake
    }

    /// Removes a member. The partitions that it held are free at once, with the offsets committed until now.
    pub fn leave(&mut self, id: MemberId, topics: &Topics) {
        self.members.remove(&id);
        for state in self.partitions.values_mut().filter(|state| state.is_held_by(id)) {
            state.holder = Holder::Unowned;
        }
        self.rebalance(topics);
    }

    /// Computes new targets; called whenever members or topics change.
    pub fn rebalance(&mut self, topics: &Topics) {
        let wanted = self.members.values().flat_map(|member| &member.topics);
        for topic in wanted.filter_map(|name| topics.get(name.as_str())) {
            for at in topic.partitions() {
                self.partitions.entry(at).or_default();
            }
        }
        let members: Vec<(MemberId, &[String])> =
            self.members.iter().map(|(id, member)| (*id, &*member.topics)).collect();
        let partitions = self.partitions.iter_mut();
        let mut targets: Vec<Target> =
            partitions.map(|(at, state)| Target { topic: &at.topic, owner: &mut state.target }).collect();
        balance(&mut targets, &members);
        // Only targets have changed: holders release and new owners take over when they call `next`.
        self.wake_all();
    }

    fn wake_all(&self) {
        for member in self.members.values() {
            member.wake.notify_one();
        }
    }

    /// Wakes the member that owns the partition; called when the partition has got a record.
    pub fn wake_owner(&self, at: &TopicPartition) {
        if let Some(Holder::Owner { member, .. }) = self.partitions.get(at).map(|state| &state.holder)
            && let Some(member) = self.members.get(member)
        {
            member.wake.notify_one();
        }
    }

    /// Returns the offset below which this group needs no record of the partition; `None` when it does not follow it.
    pub fn needs_from(&self, at: &TopicPartition) -> Option<i64> {
        self.partitions.get(at).map(|state| state.committed.unwrap_or(0))
    }

    /// Takes the error that the member has not been told yet.
    pub fn take_error(&mut self, id: MemberId) -> Option<BrokerError> {
        self.members.get_mut(&id)?.errors.pop_front()
    }

    /// Lists the partitions that the member has to release and has not been told of yet.
    pub fn to_revoke(&self, id: MemberId) -> Vec<TopicPartition> {
        let partitions = self.partitions.iter();
        partitions.filter(|(_, state)| state.is_to_be_revoked_from(id)).map(|(at, _)| at.clone()).collect()
    }

    /// Notes that the member has been told. `wait` calls [`Self::release`] when the reply has come or its time is up.
    pub fn revoke(&mut self, id: MemberId, wait: AbortOnDropHandle<()>) {
        let wait = Arc::new(wait);
        let partitions = self.partitions.values_mut();
        for state in partitions.filter(|state| state.is_to_be_revoked_from(id)) {
            state.holder = Holder::Releasing { member: id, _wait: Arc::clone(&wait) };
        }
    }

    /// Releases partitions that were revoked from a member.
    pub fn release(&mut self, id: MemberId, partitions: &[TopicPartition]) {
        for at in partitions {
            if let Some(state) = self.partitions.get_mut(at)
                && matches!(state.holder, Holder::Releasing { member, .. } if member == id)
            {
                state.holder = Holder::Unowned;
            }
        }
        self.wake_all();
    }

    /// Makes the member owner of the free partitions meant for it.
    pub fn assign(&mut self, id: MemberId, topics: &Topics) -> Vec<TopicPartition> {
        let mut assigned = Vec::new();
        for (at, state) in &mut self.partitions {
            let is_free = matches!(state.holder, Holder::Unowned) && state.target == Some(id);
            if let Some(log) = log_of(topics, at).filter(|_| is_free) {
                // A commit may lie outside the log: records below it may be dropped, and members may commit any number.
                let next = state.committed.unwrap_or(0).clamp(log.low(), log.high());
                state.holder = Holder::Owner { member: id, next };
                assigned.push(at.clone());
            }
        }
        assigned
    }

    /// Returns the next records of the member's partitions, at most `limit`. `first` chooses the partition that is read
    /// first; a number that rises with every call keeps a busy partition from starving the others.
    pub fn fetch(&mut self, id: MemberId, topics: &Topics, limit: usize, first: usize) -> Vec<Delivery> {
        let owned = self.partitions.iter_mut().filter_map(|(at, state)| match &mut state.holder {
            Holder::Owner { member, next } if *member == id => Some((at, next)),
            Holder::Unowned | Holder::Owner { .. } | Holder::Releasing { .. } => None,
        });
        let mut owned: Vec<(&TopicPartition, &mut i64)> = owned.collect();
        if let Some(first) = first.checked_rem(owned.len()) {
            owned.rotate_left(first);
        }
        let mut deliveries = Vec::new();
        for (at, next) in owned {
            let Some(log) = log_of(topics, at) else { continue };
            for (offset, stored) in log.read(*next).take(limit - deliveries.len()) {
                *next = offset + 1;
                deliveries.push(Delivery {
                    position: Position { topic: Arc::clone(&at.topic), partition: at.partition, offset },
                    timestamp_ms: stored.timestamp_ms,
                    record: stored.record.clone(),
                    undecodable: None,
                });
            }
        }
        deliveries
    }

    /// Commits offsets of partitions that the member holds; fails when another partition is among them.
    pub fn commit(&mut self, id: MemberId, next_offsets: &[Position]) -> Result<(), BrokerError> {
        let mut result = Ok(());
        for next in next_offsets {
            match self.partitions.get_mut(&next.topic_partition()) {
                // Also while it is being released: the last commit comes with the reply.
                Some(state) if state.is_held_by(id) => state.committed = Some(next.offset),
                Some(_) | None => {
                    result = Err(BrokerError::Rejected(format!("{next} is another member's to commit")));
                }
            }
        }
        result
    }
}
