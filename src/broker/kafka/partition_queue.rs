//! Queues of records on their way, one for each partition of a topic, and the choice of a partition for each record.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::broker::partitioner::partition_for;
use crate::broker::{BrokerError, Position, Record};

/// Record on its way. It is not sent once its publisher has dropped the receipt, nor behind its deadline.
pub(super) struct Pending {
    pub record: Record,
    pub reply: oneshot::Sender<Result<Position, BrokerError>>,
    pub deadline: Instant,
}

/// Health of a partition, as its sender last saw it.
#[derive(Debug, Default)]
pub(super) struct PartitionHealth(AtomicU8);

impl PartitionHealth {
    const ANSWERS: u8 = 0;
    const SLOW: u8 = 1;
    const FAILED: u8 = 2;

    /// Tells whether the last request was answered in time.
    pub fn answers(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::ANSWERS
    }

    /// Tells whether the last request failed.
    pub fn has_failed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::FAILED
    }

    /// Notes a request that was answered in time.
    pub fn works(&self) {
        self.0.store(Self::ANSWERS, Ordering::Relaxed);
    }

    /// Notes a request without an answer so far; a partition that has failed stays failed.
    pub fn is_slow(&self) {
        let (from, to) = (Self::ANSWERS, Self::SLOW);
        // Fails when the state is another already, which says at least as much.
        let _ = self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Notes a request that failed.
    pub fn fails(&self) {
        self.0.store(Self::FAILED, Ordering::Relaxed);
    }
}

/// Queue of one partition. Its sender's task takes from the other end.
#[derive(Clone)]
pub(super) struct PartitionQueue {
    pub records: mpsc::Sender<Pending>,
    pub health: Arc<PartitionHealth>,
}

impl PartitionQueue {
    fn answers(&self) -> bool {
        self.health.answers()
    }
}

/// Queues of one topic, by partition; each is made with the partition's first record.
pub(super) struct TopicQueues {
    pub name: Arc<str>,
    round_robin: AtomicUsize,
    queues: Mutex<Vec<Option<PartitionQueue>>>,
}

impl TopicQueues {
    /// Makes a topic without queues.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), round_robin: AtomicUsize::default(), queues: Mutex::default() }
    }

    /// Chooses the partition of a record: by its key; without a key the next in turn that answers, or the next in turn
    /// where none does.
    pub fn place(&self, record: &Record, partitions: i32) -> i32 {
        let next = || partition_for(record.key.as_deref(), &self.round_robin, partitions);
        let first = next();
        if record.key.is_some() {
            return first;
        }
        let queues = self.lock();
        let answers = |partition: &i32| {
            let queue = usize::try_from(*partition).ok().and_then(|index| queues.get(index)?.as_ref());
            queue.is_none_or(PartitionQueue::answers)
        };
        std::iter::once(first).chain((1..partitions).map(|_| next())).find(answers).unwrap_or(first)
    }

    /// Moves a record without a key to another partition that answers and has capacity. `Err` returns the record.
    pub fn move_elsewhere(&self, pending: Pending) -> Result<(), Pending> {
        // A key has one partition: elsewhere its records would be read out of order.
        if pending.record.key.is_some() {
            return Err(pending);
        }
        let mut pending = pending;
        for queue in self.lock().iter().flatten().filter(|queue| queue.answers()) {
            match queue.records.try_send(pending) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(returned) | TrySendError::Closed(returned)) => pending = returned,
            }
        }
        Err(pending)
    }

    /// Locks the list of queues.
    pub fn lock(&self) -> MutexGuard<'_, Vec<Option<PartitionQueue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(topic: &TopicQueues, partition: usize) -> (Arc<PartitionHealth>, mpsc::Receiver<Pending>) {
        let (sender, records) = mpsc::channel(1);
        let health = Arc::<PartitionHealth>::default();
        let mut queues = topic.lock();
        let count = queues.len().max(partition + 1);
        queues.resize_with(count, || None);
        queues[partition] = Some(PartitionQueue { records: sender, health: Arc::clone(&health) });
        drop(queues);
        (health, records)
    }

    fn places(topic: &TopicQueues, count: usize) -> Vec<i32> {
        (0..count).map(|_| topic.place(&Record::default(), 3)).collect()
    }

    #[test]
    fn records_without_a_key_pass_over_partitions_that_do_not_answer() {
        let topic = TopicQueues::new("t");
        assert_eq!(places(&topic, 4), [0, 1, 2, 0], "a queue that was never used counts as answering");
        let (health, _records) = queue(&topic, 1);
        health.fails();
        assert!(!places(&topic, 6).contains(&1));
        let keyed = Record { key: Some("21".into()), ..Record::default() };
        let (of_key, _records_of_key) = queue(&topic, 0);
        of_key.fails();
        assert_eq!(topic.place(&keyed, 3), 0, "a key has one place");
        health.works();
        of_key.works();
        let mut after = places(&topic, 3);
        after.sort_unstable();
        assert_eq!(after, [0, 1, 2]);
    }

    #[test]
    fn where_no_partition_answers_all_are_used_in_turn() {
        let topic = TopicQueues::new("t");
        let queues: Vec<_> = (0..3).map(|partition| queue(&topic, partition)).collect();
        for (health, _) in &queues {
            health.fails();
        }
        let mut places = places(&topic, 6);
        places.sort_unstable();
        places.dedup();
        assert!(!places.is_empty());
    }

    #[test]
    fn only_records_without_a_key_move_and_only_to_where_there_is_capacity() {
        let topic = TopicQueues::new("t");
        let (failed, _of_failed) = queue(&topic, 0);
        failed.fails();
        let (_, mut records) = queue(&topic, 1);
        let pending = |key: Option<&'static str>| Pending {
            record: Record { key: key.map(Into::into), ..Record::default() },
            reply: oneshot::channel().0,
            deadline: Instant::now(),
        };
        assert!(topic.move_elsewhere(pending(Some("1"))).is_err());
        assert!(topic.move_elsewhere(pending(None)).is_ok());
        assert!(topic.move_elsewhere(pending(None)).is_err(), "the queue is full");
        assert!(records.try_recv().is_ok());
    }
}
