//! Member of a group under test: records what it owns and was delivered, and checks what must always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;

use super::within;
use crate::broker::{
    Broker, Delivery, Member, MemberEvent, Membership, Position, Revocation, TopicPartition,
};

/// Time after which a silent member counts as gone.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Consumer {
    pub member: Box<dyn Member>,
    topic: Arc<str>,
    pub owned: BTreeSet<i32>,
    /// Next offset to consume, of the owned partitions that have brought records.
    next: BTreeMap<i32, i64>,
    pub records: Vec<Delivery>,
}

impl Consumer {
    pub async fn join(broker: &dyn Broker, topic: &str, group: &str) -> Self {
        let membership = Membership {
            group: group.to_owned(),
            client_id: format!("conformance-{}", uuid::Uuid::new_v4()),
            topics: vec![topic.to_owned()],
            session_timeout: SESSION_TIMEOUT,
        };
        let member = within("joining", broker.join(membership)).await;
        Self {
            member: member.unwrap(),
            topic: Arc::from(topic),
            owned: BTreeSet::new(),
            next: BTreeMap::new(),
            records: Vec::new(),
        }
    }

    /// Handles an event; replies to a revocation with what was consumed.
    pub fn handle(&mut self, event: MemberEvent) {
        match event {
            MemberEvent::Assigned(partitions) => {
                for partition in self.checked(&partitions) {
                    assert!(self.owned.insert(partition), "{partition} assigned twice");
                }
            }
            MemberEvent::Revoked(revocation) => {
                let next_offsets = self.lose(&revocation);
                // Too late counts as no reply; the records come again.
                let _ = revocation.reply.send(next_offsets);
            }
            MemberEvent::Records(records) => {
                assert!(!records.is_empty());
                for delivery in &records {
                    self.count(delivery);
                }
                self.records.extend(records);
            }
            MemberEvent::EndReached(end) => assert!(self.owned.contains(&end.partition), "{end} is not ours"),
            MemberEvent::Error(error) => eprintln!("error: {error}"),
        }
    }

    /// Notes a revocation that is about to be replied to. Returns its partitions' next offsets to consume.
    pub fn lose(&mut self, revocation: &Revocation) -> Vec<Position> {
        let going: BTreeSet<i32> = self.checked(&revocation.partitions).collect();
        for partition in &going {
            assert!(self.owned.remove(partition), "{partition} revoked but not owned");
        }
        let mut next_offsets = self.next_offsets();
        next_offsets.retain(|next| going.contains(&next.partition));
        self.next.retain(|partition, _| !going.contains(partition));
        next_offsets
    }

    fn checked(&self, partitions: &[TopicPartition]) -> impl Iterator<Item = i32> + use<> {
        assert!(!partitions.is_empty());
        assert!(partitions.iter().all(|at| at.topic == self.topic));
        let partitions: Vec<i32> = partitions.iter().map(|at| at.partition).collect();
        partitions.into_iter()
    }

    fn count(&mut self, delivery: &Delivery) {
        let Position { topic, partition, offset } = &delivery.position;
        assert_eq!(*topic, self.topic);
        assert!(self.owned.contains(partition), "a record of {partition}, which isn't ours");
        let expected = self.next.insert(*partition, offset + 1);
        assert!(expected.is_none_or(|expected| expected == *offset), "a gap before {}", delivery.position);
    }

    /// Returns the next offsets of everything consumed.
    pub fn next_offsets(&self) -> Vec<Position> {
        let position = |(partition, offset): (&i32, &i64)| Position {
            topic: Arc::clone(&self.topic),
            partition: *partition,
            offset: *offset,
        };
        self.next.iter().map(position).collect()
    }

    pub fn offsets_of(&self, partition: i32) -> Vec<i64> {
        let positions = self.records.iter().map(|delivery| &delivery.position);
        positions.filter(|at| at.partition == partition).map(|at| at.offset).collect()
    }

    pub async fn commit(&self) {
        within("committing", self.member.commit(self.next_offsets())).await.unwrap();
    }

    pub async fn leave(self) {
        within("leaving", self.member.leave()).await;
    }
}

/// Takes events, at most `limit` records with each, until the condition holds. A partition has never two owners.
pub async fn drive(
    what: &str,
    limit: usize,
    consumers: &mut [Consumer],
    until: impl Fn(&[Consumer]) -> bool,
) {
    let driven = async {
        while !until(consumers) {
            let nexts = consumers.iter_mut().map(|consumer| consumer.member.next(limit));
            let (event, index, _) = select_all(nexts).await;
            if let MemberEvent::Records(records) = &event {
                assert!(records.len() <= limit, "{} records, at most {limit}", records.len());
            }
            consumers[index].handle(event);
            let owned = consumers.iter().flat_map(|consumer| &consumer.owned);
            let mut seen = BTreeSet::new();
            assert!(owned.into_iter().all(|partition| seen.insert(*partition)), "two owners of a partition");
        }
    };
    within(what, driven).await;
}

/// Counts the records of all consumers.
pub fn total(consumers: &[Consumer]) -> usize {
    consumers.iter().map(|consumer| consumer.records.len()).sum()
}

/// Counts the partitions of each consumer, in rising order.
pub fn shares(consumers: &[Consumer]) -> Vec<usize> {
    let mut shares: Vec<usize> = consumers.iter().map(|consumer| consumer.owned.len()).collect();
    shares.sort_unstable();
    shares
}
