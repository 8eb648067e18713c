//! Group member under test, and a ledger in which all members of a group record what they did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::broker::{MemberEvent, TopicPartition};

/// Record of what the members of a group did.
#[derive(Clone)]
pub struct Ledger(Arc<watch::Sender<Book>>);

#[derive(Default)]
pub struct Book {
    /// Number of times that each value was handled.
    pub handled: BTreeMap<Bytes, u32>,
    /// Partitions by worker.
    pub owned: BTreeMap<usize, BTreeSet<i32>>,
    pub errors: Vec<BrokerError>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }
}

impl Ledger {
    pub async fn wait(&self, what: &str, until: impl FnMut(&Book) -> bool) {
        let mut book = self.0.subscribe();
        within(what, book.wait_for(until)).await.map(drop).unwrap();
    }

    pub fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.0.borrow())
    }

    /// Counts the partitions of each worker, in rising order.
    pub fn shares(book: &Book) -> Vec<usize> {
        let mut shares: Vec<usize> = book.owned.values().map(BTreeSet::len).collect();
        shares.sort_unstable();
        shares
    }
}

pub struct Worker {
    pub number: usize,
    stop: CancellationToken,
    task: JoinHandle<Box<dyn Member>>,
    ledger: Ledger,
}

impl Worker {
    /// Joins the group; sleeps for `pace` after each batch.
    pub async fn start(kafka: &Kafka, membership: Membership, ledger: &Ledger, pace: Duration) -> Self {
        let member = kafka.join(membership).await.unwrap();
        let stop = CancellationToken::new();
        let number = ledger.read(|book| book.owned.keys().last().map_or(0, |last| last + 1));
        ledger.0.send_modify(|book| {
            book.owned.insert(number, BTreeSet::new());
        });
        Self {
            number,
            task: tokio::spawn(work(member, number, ledger.clone(), stop.clone(), pace)),
            stop,
            ledger: ledger.clone(),
        }
    }

    /// Commits what it has handled. The member then owns partitions still, but takes no more records.
    pub async fn stop(self) -> Box<dyn Member> {
        self.stop.cancel();
        let member = within("stopping", self.task).await.unwrap();
        self.ledger.0.send_modify(|book| {
            book.owned.remove(&self.number);
        });
        member
    }

    pub async fn leave(self) {
        let member = self.stop().await;
        within("leaving", member.leave()).await;
    }
}

async fn work(
    mut member: Box<dyn Member>,
    number: usize,
    ledger: Ledger,
    stop: CancellationToken,
    pace: Duration,
) -> Box<dyn Member> {
    let mut next: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    loop {
        let event = tokio::select! {
            event = member.next(100) => event,
            () = stop.cancelled() => {
                member.commit(positions(&next)).await.expect("what we own can be committed");
                return member;
            }
        };
        match event {
            MemberEvent::Assigned(partitions) => ledger.0.send_modify(|book| {
                for at in partitions {
                    assert!(
                        book.owned.values().all(|owned| !owned.contains(&at.partition)),
                        "{} has two owners",
                        at.partition
                    );
                    book.owned.get_mut(&number).unwrap().insert(at.partition);
                }
            }),
            MemberEvent::Revoked(revocation) => {
                let going = |at: &TopicPartition| revocation.partitions.contains(at);
                let offsets = next.extract_if(.., |at, _| going(at)).collect();
                ledger.0.send_modify(|book| {
                    let gone = revocation.partitions.iter().map(|at| at.partition).collect();
                    let owned = book.owned.get_mut(&number).unwrap();
                    *owned = owned.difference(&gone).copied().collect();
                });
                // Fails when the time limit of the reply is over.
                let _ = revocation.reply.send(positions(&offsets));
            }
            MemberEvent::Records(records) => {
                ledger.0.send_modify(|book| {
                    for delivery in records {
                        let at = delivery.position.topic_partition();
                        assert!(book.owned[&number].contains(&at.partition), "not ours: {at:?}");
                        let offset = delivery.position.offset;
                        let expected = next.insert(at, offset + 1);
                        assert!(expected.is_none_or(|expected| expected == offset), "a gap");
                        *book.handled.entry(delivery.record.value.unwrap()).or_default() += 1;
                    }
                });
                tokio::time::sleep(pace).await;
            }
            MemberEvent::EndReached(_) => {}
            MemberEvent::Error(error) => ledger.0.send_modify(|book| book.errors.push(error)),
        }
    }
}

fn positions(next: &BTreeMap<TopicPartition, i64>) -> Vec<Position> {
    let position = |(at, &offset): (&TopicPartition, &i64)| Position {
        topic: Arc::clone(&at.topic),
        partition: at.partition,
        offset,
    };
    next.iter().map(position).collect()
}
