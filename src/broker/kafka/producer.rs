//! Publishing: one task for each partition sends what has piled up while its last request was under way.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rskafka::chrono::{DateTime, Utc};
use rskafka::client::error::ProtocolError;
use rskafka::client::partition::Compression;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::client::Client;
use super::prefix::Prefix;
use super::raw::RawProducer;
use super::{errors, limit, size};
use crate::broker::partitioner::partition_for;
use crate::broker::{BrokerError, Position, Record, TopicPartition};
use crate::config::KafkaConfig;
use crate::domain::Pace;

/// What brokers take by default (`message.max.bytes`), less what Kafka's format adds. A broker may take less.
const MAX_RECORD_BYTES: usize = (1 << 20) - 100;
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 900_000;
/// rskafka writes a request of more than its buffer's 8 KiB in two parts and sets no `TCP_NODELAY`: over loopback
/// one of less than a segment (64 KiB) then waits 40 ms for the first part's delayed acknowledgement. So what has
/// piled up goes in requests below the one size while it is not above the other.
const ONE_WRITE_BYTES: usize = 7_000;
const ONE_SEGMENT_BYTES: usize = 80_000;
/// What Kafka's format adds to most records.
const RECORD_OVERHEAD: usize = 12;
/// Under load, between two requests for one partition: brokers work by the request.
const EVERY: Duration = Duration::from_millis(16);
/// Records in a request under load.
const CROWD: usize = 4;
/// Records a partition's queue takes before `publish` waits.
const QUEUE_RECORDS: usize = 2 * BATCH_RECORDS;

type Outcome = Result<Position, BrokerError>;

pub(super) struct Producer {
    client: Arc<Client>,
    prefix: Prefix,
    raw: RawProducer,
    round_robin: Mutex<HashMap<Arc<str>, Arc<AtomicUsize>>>,
    lanes: Mutex<Lanes>,
}

/// A partition's queue and the task that empties it. Dropping this ends the tasks.
#[derive(Default)]
struct Lanes {
    queues: HashMap<TopicPartition, mpsc::Sender<Pending>>,
    tasks: JoinSet<()>,
}

/// A record on its way. One whose publisher is gone is not sent.
struct Pending {
    record: Record,
    reply: oneshot::Sender<Outcome>,
}

impl Producer {
    pub fn new(client: Arc<Client>, config: &Arc<KafkaConfig>, prefix: Prefix) -> Self {
        let raw = RawProducer::new(Arc::clone(config));
        Self { client, prefix, raw, round_robin: Mutex::default(), lanes: Mutex::default() }
    }

    pub async fn publish(&self, topic: &str, records: Vec<Record>) -> Vec<Outcome> {
        let partitions = match self.client.partition_count(topic).await {
            Ok(partitions) => partitions,
            Err(error) => return records.iter().map(|_| Err(error.clone())).collect(),
        };
        let (topic, round_robin) = self.topic(topic);
        let deadline = Instant::now() + limit::PUBLISH;
        let mut receipts = Vec::with_capacity(records.len());
        for record in records {
            let partition = partition_for(record.key.as_deref(), &round_robin, partitions);
            let topic = Arc::clone(&topic);
            receipts.push(self.enqueue(TopicPartition { topic, partition }, record, deadline).await);
        }
        let mut outcomes = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            outcomes.push(match receipt {
                Ok(receipt) => match timeout_at(deadline, receipt).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => Err(unavailable("the publishing task ended")),
                    Err(_) => Err(unavailable("no answer in time")),
                },
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    fn topic(&self, name: &str) -> (Arc<str>, Arc<AtomicUsize>) {
        let mut topics = self.round_robin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, turn)) = topics.get_key_value(name) {
            return (Arc::clone(name), Arc::clone(turn));
        }
        let (name, turn): (Arc<str>, _) = (name.into(), Arc::<AtomicUsize>::default());
        topics.insert(Arc::clone(&name), Arc::clone(&turn));
        (name, turn)
    }

    async fn enqueue(
        &self,
        at: TopicPartition,
        record: Record,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Outcome>, BrokerError> {
        let bytes = size(&record);
        if bytes > MAX_RECORD_BYTES {
            return Err(BrokerError::Rejected(format!(
                "{bytes} bytes are more than the {MAX_RECORD_BYTES} a record may have"
            )));
        }
        if !record.headers.are_plain() {
            return Ok(self.raw.publish(&self.prefix.add(&at.topic), at, &record));
        }
        let (reply, receipt) = oneshot::channel();
        let queue = self.queue(at);
        match timeout_at(deadline, queue.send(Pending { record, reply })).await {
            Ok(Ok(())) => Ok(receipt),
            Ok(Err(_)) => Err(unavailable("the publishing task ended")),
            Err(_) => Err(unavailable("too many records wait to be published")),
        }
    }

    fn queue(&self, at: TopicPartition) -> mpsc::Sender<Pending> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // A task ends early only with the runtime it was started in; the HTTP server has several.
        if let Some(queue) = lanes.queues.get(&at).filter(|queue| !queue.is_closed()) {
            return queue.clone();
        }
        let (queue, records) = mpsc::channel(QUEUE_RECORDS);
        while lanes.tasks.try_join_next().is_some() {}
        lanes.tasks.spawn(run_lane(Arc::clone(&self.client), at.clone(), records));
        lanes.queues.insert(at, queue.clone());
        queue
    }
}

async fn run_lane(client: Arc<Client>, at: TopicPartition, mut queue: mpsc::Receiver<Pending>) {
    let mut waiting = VecDeque::new();
    let mut pace = Pace::new(EVERY, CROWD);
    loop {
        if waiting.is_empty() {
            let Some(first) = queue.recv().await else { return };
            waiting.push_back(first);
            if let Some(pause) = pace.pause(std::time::Instant::now()) {
                tokio::time::sleep(pause).await;
            }
        }
        while waiting.len() < BATCH_RECORDS
            && let Ok(next) = queue.try_recv()
        {
            waiting.push_back(next);
        }
        waiting.retain(|pending| !pending.reply.is_closed());
        let batch = take_batch(&mut waiting);
        pace.round(std::time::Instant::now(), batch.len());
        if let Err(error) = send(&client, &at, batch).await {
            // What comes later in the partition must not overtake what failed.
            refuse(waiting.drain(..), &error);
            while let Ok(pending) = queue.try_recv() {
                refuse([pending], &error);
            }
        }
    }
}

/// As many records from the front as one request takes, at least one.
fn take_batch(waiting: &mut VecDeque<Pending>) -> Vec<Pending> {
    let bytes = |pending: &Pending| size(&pending.record) + RECORD_OVERHEAD;
    let limit = match waiting.iter().map(bytes).sum::<usize>() {
        ..ONE_SEGMENT_BYTES => ONE_WRITE_BYTES,
        ONE_SEGMENT_BYTES.. => BATCH_BYTES,
    };
    let mut sum = 0;
    let fitting = waiting.iter().take_while(|pending| {
        sum += bytes(pending);
        sum <= limit
    });
    let count = fitting.count().max(1).min(waiting.len());
    waiting.drain(..count).collect()
}

/// Answers every record. A batch that the broker refuses is halved until only those to blame are refused.
async fn send(client: &Client, at: &TopicPartition, batch: Vec<Pending>) -> Result<(), BrokerError> {
    let mut parts = VecDeque::from([batch]);
    while let Some(mut part) = parts.pop_front() {
        if part.is_empty() {
            continue;
        }
        match produce(client, at, &part).await {
            Ok(offsets) => {
                for (pending, offset) in part.into_iter().zip(offsets) {
                    let TopicPartition { topic, partition } = at.clone();
                    // The publisher may have stopped waiting.
                    let _ = pending.reply.send(Ok(Position { topic, partition, offset }));
                }
            }
            Err(BrokerError::Rejected(_)) if part.len() > 1 => {
                let rest = part.split_off(part.len() / 2);
                parts.push_front(rest);
                parts.push_front(part);
            }
            Err(error @ BrokerError::Rejected(_)) => refuse(part, &error),
            Err(error) => {
                refuse(part.into_iter().chain(parts.into_iter().flatten()), &error);
                return Err(error);
            }
        }
    }
    Ok(())
}

fn refuse(records: impl IntoIterator<Item = Pending>, error: &BrokerError) {
    for pending in records {
        let _ = pending.reply.send(Err(error.clone()));
    }
}

async fn produce(client: &Client, at: &TopicPartition, part: &[Pending]) -> Result<Vec<i64>, BrokerError> {
    client
        .call_partition(at, limit::PRODUCE, |partition| async move {
            // Waits for all in-sync replicas (acks=-1); rskafka knows nothing else.
            let produce = |at| partition.produce(to_rskafka(part, at), Compression::NoCompression);
            match produce(Utc::now()).await {
                Err(error) if errors::protocol_error(&error) == Some(ProtocolError::InvalidTimestamp) => {
                    client.clock.fails(&error);
                    produce(NO_TIME).await
                }
                Ok(offsets) => {
                    client.clock.works();
                    Ok(offsets)
                }
                Err(error) => Err(error),
            }
        })
        .await
}

/// What Kafka takes for no time at all. Brokers refuse times too far from theirs: since 4.0, more than an hour ahead.
const NO_TIME: DateTime<Utc> = match DateTime::from_timestamp_millis(-1) {
    Some(time) => time,
    None => DateTime::UNIX_EPOCH,
};

fn to_rskafka(part: &[Pending], at: DateTime<Utc>) -> Vec<rskafka::record::Record> {
    part.iter().map(|pending| record_at(&pending.record, at)).collect()
}

fn record_at(record: &Record, timestamp: DateTime<Utc>) -> rskafka::record::Record {
    let headers = record.headers.iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_vec())));
    rskafka::record::Record {
        key: record.key.as_ref().map(|key| key.to_vec()),
        value: record.value.as_ref().map(|value| value.to_vec()),
        headers: headers.collect(),
        timestamp,
    }
}

fn unavailable(why: &str) -> BrokerError {
    BrokerError::Unavailable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn pending(bytes: usize) -> Pending {
        Pending {
            record: Record { value: Some(Bytes::from(vec![b'x'; bytes])), ..Record::default() },
            reply: oneshot::channel().0,
        }
    }

    fn batches(sizes: &[usize]) -> Vec<usize> {
        let mut waiting: VecDeque<Pending> = sizes.iter().copied().map(pending).collect();
        std::iter::from_fn(|| Some(take_batch(&mut waiting).len()).filter(|&count| count > 0)).collect()
    }

    #[test]
    fn a_large_pile_goes_in_large_batches_of_at_least_one_record() {
        let half = BATCH_BYTES / 2 - RECORD_OVERHEAD;
        assert_eq!(batches(&[BATCH_BYTES, half, half, 10, half]), [1, 2, 2]);
    }

    #[test]
    fn a_small_pile_goes_in_requests_of_one_write() {
        assert_eq!(batches(&[3_000, 3_000, 3_000, 20_000, 10]), [2, 1, 1, 1]);
        assert_eq!(batches(&[100; 60]), [60], "that is {} bytes", 60 * 112);
    }
}
