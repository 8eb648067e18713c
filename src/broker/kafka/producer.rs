//! Publishing: each record to its partition's lane; one without a key to a partition that answers.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::client::Client;
use super::lane::{self, Health, Pending};
use super::prefix::Prefix;
use super::raw::RawProducer;
use super::{limit, size};
use crate::broker::partitioner::partition_for;
use crate::broker::{BrokerError, Receipt, Record, TopicPartition};
use crate::config::KafkaConfig;

/// What brokers take by default (`message.max.bytes`), less what Kafka's format adds. A broker may take less.
const MAX_RECORD_BYTES: usize = (1 << 20) - 100;
/// Records a partition's queue takes before `send` waits.
const QUEUE_RECORDS: usize = 2 * lane::BATCH_RECORDS;

/// Dropping it ends the lanes' tasks.
pub(super) struct Producer {
    client: Arc<Client>,
    prefix: Prefix,
    raw: RawProducer,
    topics: Mutex<HashMap<Arc<str>, Arc<Topic>>>,
    tasks: Mutex<JoinSet<()>>,
}

/// The lanes of one topic, by partition; made when they are needed.
pub(super) struct Topic {
    name: Arc<str>,
    round_robin: AtomicUsize,
    lanes: Mutex<Vec<Option<Lane>>>,
}

/// A partition's queue, whose task sends what has piled up while its last request was in flight.
#[derive(Clone)]
struct Lane {
    queue: mpsc::Sender<Pending>,
    health: Arc<Health>,
}

impl Lane {
    fn answers(&self) -> bool {
        self.health.answers()
    }
}

impl Producer {
    /// Makes a producer whose lanes start with their first record.
    pub fn new(client: Arc<Client>, config: &Arc<KafkaConfig>, prefix: Prefix) -> Self {
        let raw = RawProducer::new(Arc::clone(config));
        Self { client, prefix, raw, topics: Mutex::default(), tasks: Mutex::default() }
    }

    /// Queues records for their partitions; returns a receipt for each, in order.
    pub async fn send(&self, topic: &str, records: Vec<Record>) -> Vec<Receipt> {
        let partitions = match self.client.partition_count(topic).await {
            Ok(partitions) => partitions,
            Err(error) => return records.iter().map(|_| Receipt::known(Err(error.clone()))).collect(),
        };
        let topic = self.topic(topic);
        let deadline = Instant::now() + limit::PUBLISH;
        let mut receipts = Vec::with_capacity(records.len());
        for record in records {
            let receipt = self.enqueue(&topic, partitions, record, deadline).await;
            receipts.push(receipt.unwrap_or_else(|error| Receipt::known(Err(error))));
        }
        receipts
    }

    fn topic(&self, name: &str) -> Arc<Topic> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Arc::clone(topic);
        }
        let topic = Arc::new(Topic::new(name));
        topics.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        topic
    }

    async fn enqueue(
        &self,
        topic: &Arc<Topic>,
        partitions: i32,
        record: Record,
        deadline: Instant,
    ) -> Result<Receipt, BrokerError> {
        let bytes = size(&record);
        if bytes > MAX_RECORD_BYTES {
            return Err(BrokerError::Rejected(format!(
                "{bytes} bytes are more than the {MAX_RECORD_BYTES} a record may have"
            )));
        }
        let partition = topic.place(&record, partitions);
        if !record.headers.are_plain() {
            let at = TopicPartition { topic: Arc::clone(&topic.name), partition };
            return Ok(Receipt::waiting(self.raw.publish(&self.prefix.add(&topic.name), at, &record)));
        }
        let (reply, outcome) = oneshot::channel();
        let Lane { queue, health } = self.lane(topic, partition);
        let pending = match queue.try_send(Pending { record, reply, deadline }) {
            Ok(()) => return Ok(Receipt::waiting(outcome)),
            Err(TrySendError::Full(_)) if health.has_failed() => {
                let why = format!("{}-{partition}: too many records wait for it", topic.name);
                return Err(BrokerError::PartitionUnavailable(why));
            }
            Err(TrySendError::Full(pending) | TrySendError::Closed(pending)) => pending,
        };
        match timeout_at(deadline, queue.send(pending)).await {
            Ok(Ok(())) => Ok(Receipt::waiting(outcome)),
            Ok(Err(_)) => Err(unavailable("the publishing task ended")),
            Err(_) => Err(unavailable("too many records wait to be published")),
        }
    }

    fn lane(&self, topic: &Arc<Topic>, partition: i32) -> Lane {
        let mut lanes = topic.lanes();
        let index = usize::try_from(partition).unwrap_or_default();
        if lanes.len() <= index {
            lanes.resize_with(index + 1, || None);
        }
        // A task ends early only with the runtime it was started in; the HTTP server has several.
        if let Some(lane) = lanes[index].as_ref().filter(|lane| !lane.queue.is_closed()) {
            return lane.clone();
        }
        let (queue, records) = mpsc::channel(QUEUE_RECORDS);
        let lane = Lane { queue, health: Arc::default() };
        let at = TopicPartition { topic: Arc::clone(&topic.name), partition };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(lane::run(
            Arc::clone(&self.client),
            Arc::clone(topic),
            at,
            records,
            Arc::clone(&lane.health),
        ));
        lanes[index] = Some(lane.clone());
        lane
    }
}

impl Topic {
    fn new(name: &str) -> Self {
        Self { name: name.into(), round_robin: AtomicUsize::default(), lanes: Mutex::default() }
    }

    /// A key's partition; without a key the next in turn that answers, or the next in turn where none does.
    fn place(&self, record: &Record, partitions: i32) -> i32 {
        let turn = || partition_for(record.key.as_deref(), &self.round_robin, partitions);
        let first = turn();
        if record.key.is_some() {
            return first;
        }
        let lanes = self.lanes();
        let answers = |partition: &i32| {
            let lane = usize::try_from(*partition).ok().and_then(|index| lanes.get(index)?.as_ref());
            lane.is_none_or(Lane::answers)
        };
        std::iter::once(first).chain((1..partitions).map(|_| turn())).find(answers).unwrap_or(first)
    }

    /// Hands a record without a key to another partition that answers and has room; `Err` gives it back.
    pub(super) fn move_elsewhere(&self, pending: Pending) -> Result<(), Pending> {
        if pending.record.key.is_some() {
            return Err(pending);
        }
        let mut pending = pending;
        for lane in self.lanes().iter().flatten().filter(|lane| lane.answers()) {
            match lane.queue.try_send(pending) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back) | TrySendError::Closed(back)) => pending = back,
            }
        }
        Err(pending)
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Option<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(why: &str) -> BrokerError {
    BrokerError::Unavailable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(topic: &Topic, partition: usize) -> (Arc<Health>, mpsc::Receiver<Pending>) {
        let (queue, records) = mpsc::channel(1);
        let health = Arc::<Health>::default();
        let mut lanes = topic.lanes();
        let count = lanes.len().max(partition + 1);
        lanes.resize_with(count, || None);
        lanes[partition] = Some(Lane { queue, health: Arc::clone(&health) });
        drop(lanes);
        (health, records)
    }

    fn places(topic: &Topic, count: usize) -> Vec<i32> {
        (0..count).map(|_| topic.place(&Record::default(), 3)).collect()
    }

    #[test]
    fn records_without_a_key_pass_over_partitions_that_do_not_answer() {
        let topic = Topic::new("t");
        assert_eq!(places(&topic, 4), [0, 1, 2, 0], "lanes that were never used count as answering");
        let (health, _records) = lane(&topic, 1);
        health.fails();
        assert!(!places(&topic, 6).contains(&1));
        let keyed = Record { key: Some("21".into()), ..Record::default() };
        let (of_key, _queue) = lane(&topic, 0);
        of_key.fails();
        assert_eq!(topic.place(&keyed, 3), 0, "a key has one place");
        health.works();
        of_key.works();
        let mut after = places(&topic, 3);
        after.sort_unstable();
        assert_eq!(after, [0, 1, 2]);
    }

    #[test]
    fn where_no_partition_answers_each_has_its_turn() {
        let topic = Topic::new("t");
        let lanes: Vec<_> = (0..3).map(|partition| lane(&topic, partition)).collect();
        for (health, _) in &lanes {
            health.fails();
        }
        let mut places = places(&topic, 6);
        places.sort_unstable();
        places.dedup();
        assert!(!places.is_empty());
    }

    #[test]
    fn only_records_without_a_key_move_and_only_to_where_there_is_room() {
        let topic = Topic::new("t");
        let (failed, _of_failed) = lane(&topic, 0);
        failed.fails();
        let (_, mut records) = lane(&topic, 1);
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
