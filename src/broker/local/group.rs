//! A consumer group: its members, and for each partition who holds it, who is to hold it and what is committed.
//!
//! A partition goes from holder to holder in this order: `target` changes · the holder takes `Revoked` (`Owner` →
//! `Leaving`) · it replies, leaves or its time is up (→ `Nobody`) · the target takes `Assigned` (→ `Owner`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::assignment::{MemberId, Share, balance};
use super::state::{Topics, log_of};
use crate::broker::{BrokerError, Delivery, Membership, Position, TopicPartition};

/// Consumer group: its members, who owns which partition, and its committed offsets.
#[derive(Debug, Default)]
pub struct Group {
    seats: BTreeMap<MemberId, Seat>,
    /// Every partition of every topic that was ever subscribed to.
    slots: BTreeMap<TopicPartition, Slot>,
}

#[derive(Debug)]
struct Seat {
    topics: Vec<String>,
    wake: Arc<Notify>,
    troubles: VecDeque<BrokerError>,
}

#[derive(Debug, Default)]
struct Slot {
    committed: Option<i64>,
    target: Option<MemberId>,
    holder: Holder,
}

#[derive(Debug, Default)]
enum Holder {
    #[default]
    Nobody,
    Owner {
        member: MemberId,
        /// The offset to deliver next.
        next: i64,
    },
    Leaving {
        member: MemberId,
        /// Waits for the reply on behalf of all partitions of one revocation; ends with the last of them.
        _wait: Arc<AbortOnDropHandle<()>>,
    },
}

impl Slot {
    fn is_held_by(&self, id: MemberId) -> bool {
        match self.holder {
            Holder::Nobody => false,
            Holder::Owner { member, .. } | Holder::Leaving { member, .. } => member == id,
        }
    }

    fn is_to_be_revoked_from(&self, id: MemberId) -> bool {
        matches!(self.holder, Holder::Owner { member, .. } if member == id) && self.target != Some(id)
    }
}

impl Group {
    /// By partition.
    pub fn committed(&self, topic: &str) -> BTreeMap<i32, i64> {
        let slots = self.slots.iter().filter(|(at, _)| &*at.topic == topic);
        slots.filter_map(|(at, slot)| Some((at.partition, slot.committed?))).collect()
    }

    /// The new member is woken through what this returns.
    pub fn join(&mut self, id: MemberId, membership: &Membership, topics: &Topics) -> Arc<Notify> {
        let missing = |topic: &&String| !topics.contains_key(topic.as_str());
        let troubles = membership.topics.iter().filter(missing).cloned();
        let wake = Arc::new(Notify::new());
        let seat = Seat {
            topics: membership.topics.clone(),
            wake: Arc::clone(&wake),
            troubles: troubles.map(BrokerError::UnknownTopic).collect(),
        };
        self.seats.insert(id, seat);
        self.rebalance(topics);
        wake
    }

    /// What the member held is free at once, with what was committed until now.
    pub fn leave(&mut self, id: MemberId, topics: &Topics) {
        self.seats.remove(&id);
        for slot in self.slots.values_mut().filter(|slot| slot.is_held_by(id)) {
            slot.holder = Holder::Nobody;
        }
        self.rebalance(topics);
    }

    /// To be called whenever members or topics change.
    pub fn rebalance(&mut self, topics: &Topics) {
        let wanted = self.seats.values().flat_map(|seat| &seat.topics);
        for topic in wanted.filter_map(|name| topics.get(name.as_str())) {
            for at in topic.partitions() {
                self.slots.entry(at).or_default();
            }
        }
        let members: Vec<(MemberId, &[String])> =
            self.seats.iter().map(|(id, seat)| (*id, &*seat.topics)).collect();
        let slots = self.slots.iter_mut();
        let mut shares: Vec<Share> =
            slots.map(|(at, slot)| Share { topic: &at.topic, owner: &mut slot.target }).collect();
        balance(&mut shares, &members);
        self.wake_all();
    }

    fn wake_all(&self) {
        for seat in self.seats.values() {
            seat.wake.notify_one();
        }
    }

    /// To be called when the partition has got a record.
    pub fn wake_owner(&self, at: &TopicPartition) {
        if let Some(Holder::Owner { member, .. }) = self.slots.get(at).map(|slot| &slot.holder)
            && let Some(seat) = self.seats.get(member)
        {
            seat.wake.notify_one();
        }
    }

    /// The offset below which this group needs no record of the partition; `None` when it does not follow it.
    pub fn needs_from(&self, at: &TopicPartition) -> Option<i64> {
        self.slots.get(at).map(|slot| slot.committed.unwrap_or(0))
    }

    /// Takes the error that the member has not been told yet.
    pub fn take_trouble(&mut self, id: MemberId) -> Option<BrokerError> {
        self.seats.get_mut(&id)?.troubles.pop_front()
    }

    /// The partitions the member is to give back and does not know of yet.
    pub fn to_revoke(&self, id: MemberId) -> Vec<TopicPartition> {
        let slots = self.slots.iter();
        slots.filter(|(_, slot)| slot.is_to_be_revoked_from(id)).map(|(at, _)| at.clone()).collect()
    }

    /// The member knows. `wait` calls [`Self::give_back`] when the reply is there or its time is up.
    pub fn revoke(&mut self, id: MemberId, wait: AbortOnDropHandle<()>) {
        let wait = Arc::new(wait);
        let slots = self.slots.values_mut();
        for slot in slots.filter(|slot| slot.is_to_be_revoked_from(id)) {
            slot.holder = Holder::Leaving { member: id, _wait: Arc::clone(&wait) };
        }
    }

    /// Releases partitions that were revoked from a member.
    pub fn give_back(&mut self, id: MemberId, partitions: &[TopicPartition]) {
        for at in partitions {
            if let Some(slot) = self.slots.get_mut(at)
                && matches!(slot.holder, Holder::Leaving { member, .. } if member == id)
            {
                slot.holder = Holder::Nobody;
            }
        }
        self.wake_all();
    }

    /// Makes the member owner of the free partitions meant for it.
    pub fn assign(&mut self, id: MemberId, topics: &Topics) -> Vec<TopicPartition> {
        let mut assigned = Vec::new();
        for (at, slot) in &mut self.slots {
            let is_free = matches!(slot.holder, Holder::Nobody) && slot.target == Some(id);
            if let Some(log) = log_of(topics, at).filter(|_| is_free) {
                let next = slot.committed.unwrap_or(0).clamp(log.low(), log.high());
                slot.holder = Holder::Owner { member: id, next };
                assigned.push(at.clone());
            }
        }
        assigned
    }

    /// The next records of the member's partitions, at most `limit`. `turn` says which partition goes first; a
    /// number that rises with every call lets none wait for ever.
    pub fn fetch(&mut self, id: MemberId, topics: &Topics, limit: usize, turn: usize) -> Vec<Delivery> {
        let owned = self.slots.iter_mut().filter_map(|(at, slot)| match &mut slot.holder {
            Holder::Owner { member, next } if *member == id => Some((at, next)),
            Holder::Nobody | Holder::Owner { .. } | Holder::Leaving { .. } => None,
        });
        let mut owned: Vec<(&TopicPartition, &mut i64)> = owned.collect();
        if let Some(first) = turn.checked_rem(owned.len()) {
            owned.rotate_left(first);
        }
        let mut deliveries = Vec::new();
        for (at, next) in owned {
            let Some(log) = log_of(topics, at) else { continue };
            for (offset, kept) in log.read(*next).take(limit - deliveries.len()) {
                *next = offset + 1;
                deliveries.push(Delivery {
                    position: Position { topic: Arc::clone(&at.topic), partition: at.partition, offset },
                    timestamp_ms: kept.timestamp_ms,
                    record: kept.record.clone(),
                    undecodable: None,
                });
            }
        }
        deliveries
    }

    /// Stores the offsets of partitions that the member holds; an error when one of the others was among them.
    pub fn commit(&mut self, id: MemberId, next_offsets: &[Position]) -> Result<(), BrokerError> {
        let mut result = Ok(());
        for next in next_offsets {
            match self.slots.get_mut(&next.topic_partition()) {
                Some(slot) if slot.is_held_by(id) => slot.committed = Some(next.offset),
                Some(_) | None => {
                    result = Err(BrokerError::Rejected(format!("{next} is another member's to commit")));
                }
            }
        }
        result
    }
}
