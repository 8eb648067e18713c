//! Sender of one partition: sends what has been queued while its last request was in flight, and outlives its leader.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rskafka::chrono::{DateTime, Utc};
use rskafka::client::error::ProtocolError;
use rskafka::client::partition::Compression;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::client::Client;
use super::partition_queue::{PartitionHealth, Pending, TopicQueues};
use super::{errors, limits, size};
use crate::broker::{BrokerError, Position, Record, TopicPartition};
use crate::domain::Pacing;
use crate::telemetry::Outage;

/// Sends a partition's records until the producer ends.
pub(super) async fn run(
    client: Arc<Client>,
    topic: Arc<TopicQueues>,
    at: TopicPartition,
    queue: mpsc::Receiver<Pending>,
    health: Arc<PartitionHealth>,
) {
    let mut sender = PartitionSender {
        client,
        topic,
        at,
        queue,
        health,
        waiting: VecDeque::new(),
        pace: Pacing::new(limits::MIN_BATCH_INTERVAL, limits::BATCHING_THRESHOLD),
        pause: limits::FIRST_RETRY_PAUSE,
        last_good: Instant::now(),
        outage: Outage::new("partition unavailable", "partition recovered"),
    };
    while sender.step().await {}
}

struct PartitionSender {
    client: Arc<Client>,
    topic: Arc<TopicQueues>,
    at: TopicPartition,
    queue: mpsc::Receiver<Pending>,
    health: Arc<PartitionHealth>,
    waiting: VecDeque<Pending>,
    pace: Pacing,
    /// Pause before the next try, while the partition fails.
    pause: Duration,
    /// Time at which the present connection was last known to work.
    last_good: Instant,
    outage: Outage,
}

impl PartitionSender {
    /// Sends one request, or tries once to reach the leader. Returns false when the producer has ended.
    async fn step(&mut self) -> bool {
        if self.health.has_failed() {
            if !self.back_off().await {
                return false;
            }
        } else if self.waiting.is_empty() {
            let Some(first) = self.queue.recv().await else { return false };
            self.waiting.push_back(first);
            // Only under load: a lone record is sent at once.
            if let Some(pause) = self.pace.pause(std::time::Instant::now()) {
                tokio::time::sleep(pause).await;
            }
        }
        self.fill();
        let batch = take_batch(&mut self.waiting);
        if batch.is_empty() {
            return true;
        }
        self.pace.record(std::time::Instant::now(), batch.len());
        if let Err((unsent, error)) = self.send(batch).await {
            // Back to the front, so that the partition keeps its order.
            for pending in unsent.into_iter().rev() {
                self.waiting.push_front(pending);
            }
            self.on_failure(error).await;
        }
        true
    }

    /// Takes as many records from the queue as fit a batch. Drops those whose receipt is gone, and refuses those whose
    /// deadline is over.
    fn fill(&mut self) {
        while self.waiting.len() < limits::MAX_BATCH_RECORDS
            && let Ok(next) = self.queue.try_recv()
        {
            self.waiting.push_back(next);
        }
        let now = Instant::now();
        for pending in std::mem::take(&mut self.waiting) {
            if pending.reply.is_closed() {
                continue;
            }
            if pending.deadline <= now {
                let TopicPartition { topic, partition } = &self.at;
                let why = format!("{topic}-{partition} took no record in time");
                refuse([pending], &BrokerError::PartitionUnavailable(why));
            } else {
                self.waiting.push_back(pending);
            }
        }
    }

    /// Waits before the next try; meanwhile records without a key move to other partitions. With nothing to send, asks
    /// whether the leader has recovered.
    async fn back_off(&mut self) -> bool {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(limits::MAX_RETRY_PAUSE);
        loop {
            self.fill();
            self.move_elsewhere();
            match tokio::time::timeout_at(until, self.queue.recv()).await {
                Ok(Some(pending)) => self.waiting.push_back(pending),
                Ok(None) => return false,
                Err(_) => break,
            }
            // Memory is bounded: what doesn't fit stays in the queue, whose publishers then wait.
            if self.waiting.len() >= limits::MAX_BATCH_RECORDS {
                tokio::time::sleep_until(until).await;
                break;
            }
        }
        if self.waiting.is_empty() && self.client.connect_partition(&self.at).await.is_ok() {
            self.works();
        }
        true
    }

    fn move_elsewhere(&mut self) {
        for pending in std::mem::take(&mut self.waiting) {
            if let Err(stays) = self.topic.move_elsewhere(pending) {
                self.waiting.push_back(stays);
            }
        }
    }

    fn works(&mut self) {
        self.last_good = Instant::now();
        self.health.works();
        self.outage.works();
    }

    async fn on_failure(&mut self, error: BrokerError) {
        // The next try makes a new connection.
        self.last_good = Instant::now();
        // Only an outage of this partition alone is waited for here. When no broker answers, publishers are told at
        // once: they know better whether to wait.
        let is_partition_alone =
            matches!(error, BrokerError::Unavailable(_)) && self.client.is_reachable().await;
        if is_partition_alone {
            let TopicPartition { topic, partition } = &self.at;
            self.outage.fails(format_args!("{topic}-{partition}: {error}"));
            self.health.fails();
            self.move_elsewhere();
            return;
        }
        self.health.works();
        // Everything queued is refused with it: later records must not overtake those that failed.
        refuse(self.waiting.drain(..), &error);
        while let Ok(pending) = self.queue.try_recv() {
            refuse([pending], &error);
        }
    }

    /// Sends a batch and answers its records; on an error, returns those without an answer. A batch that the broker
    /// refuses is halved until only the records at fault are refused.
    async fn send(&mut self, batch: Vec<Pending>) -> Result<(), (Vec<Pending>, BrokerError)> {
        let mut parts = VecDeque::from([batch]);
        while let Some(mut part) = parts.pop_front() {
            if part.is_empty() {
                continue;
            }
            match self.produce(&part).await {
                Ok(offsets) => {
                    self.works();
                    self.pause = limits::FIRST_RETRY_PAUSE;
                    for (pending, offset) in part.into_iter().zip(offsets) {
                        let TopicPartition { topic, partition } = self.at.clone();
                        // Fails when the publisher has stopped waiting.
                        let _ = pending.reply.send(Ok(Position { topic, partition, offset }));
                    }
                }
                Err(BrokerError::Rejected(_)) if part.len() > 1 => {
                    // The second half goes in first, so that the first half is sent before it.
                    let rest = part.split_off(part.len() / 2);
                    parts.push_front(rest);
                    parts.push_front(part);
                }
                Err(error @ BrokerError::Rejected(_)) => {
                    self.works();
                    refuse(part, &error);
                }
                Err(error) => {
                    return Err((part.into_iter().chain(parts.into_iter().flatten()).collect(), error));
                }
            }
        }
        Ok(())
    }

    /// Sends one request and waits for its answer. Gives up on a leader that no longer responds, and goes on waiting
    /// for one that is alive: it may wait for followers that are not.
    async fn produce(&mut self, part: &[Pending]) -> Result<Vec<i64>, BrokerError> {
        let (client, at) = (Arc::clone(&self.client), self.at.clone());
        let is_trusted = self.last_good.elapsed() <= limits::CONNECTION_TRUST_TIME;
        let mut next_probe = Instant::now() + limits::LEADER_PROBE_INTERVAL;
        let mut request = std::pin::pin!(produce(&client, &at, part));
        loop {
            if let Ok(outcome) = timeout(limits::SLOW_AFTER, &mut request).await {
                return outcome;
            }
            self.health.is_slow();
            self.fill();
            self.move_elsewhere();
            if Instant::now() < next_probe {
                continue;
            }
            // Over a connection of its own: the request's may be dead without either end noticing.
            let probe = tokio::select! {
                outcome = &mut request => return outcome,
                probe = client.connect_partition(&at) => probe,
            };
            probe.map_err(|error| BrokerError::Unavailable(format!("the leader is silent: {error}")))?;
            if !is_trusted {
                return Err(BrokerError::Unavailable("the connection to the leader is dead".to_owned()));
            }
            next_probe = Instant::now() + limits::LEADER_PROBE_INTERVAL;
        }
    }
}

/// Takes as many records from the front as one request takes, at least one.
fn take_batch(waiting: &mut VecDeque<Pending>) -> Vec<Pending> {
    let bytes = |pending: &Pending| size(&pending.record) + limits::RECORD_OVERHEAD_BYTES;
    let limit = match waiting.iter().map(bytes).sum::<usize>() {
        ..limits::SEGMENT_BYTES => limits::ONE_WRITE_BYTES,
        limits::SEGMENT_BYTES.. => limits::MAX_BATCH_BYTES,
    };
    let mut sum = 0;
    let fitting = waiting.iter().take_while(|pending| {
        sum += bytes(pending);
        sum <= limit
    });
    let count = fitting.count().max(1).min(waiting.len());
    waiting.drain(..count).collect()
}

fn refuse(records: impl IntoIterator<Item = Pending>, error: &BrokerError) {
    for pending in records {
        let _ = pending.reply.send(Err(error.clone()));
    }
}

async fn produce(client: &Client, at: &TopicPartition, part: &[Pending]) -> Result<Vec<i64>, BrokerError> {
    client
        .call_partition(at, limits::PRODUCE_TIMEOUT, |partition| async move {
            // acks=-1: the answer comes once all in-sync replicas have the batch. rskafka knows no other setting.
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

/// Timestamp that Kafka takes for none. Brokers refuse times too far from theirs: since 4.0, more than an hour ahead.
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;

    fn pending(bytes: usize) -> Pending {
        Pending {
            record: Record { value: Some(Bytes::from(vec![b'x'; bytes])), ..Record::default() },
            reply: oneshot::channel().0,
            deadline: Instant::now(),
        }
    }

    fn batches(sizes: &[usize]) -> Vec<usize> {
        let mut waiting: VecDeque<Pending> = sizes.iter().copied().map(pending).collect();
        std::iter::from_fn(|| Some(take_batch(&mut waiting).len()).filter(|&count| count > 0)).collect()
    }

    #[test]
    fn a_long_queue_goes_in_large_batches_of_at_least_one_record() {
        let half = limits::MAX_BATCH_BYTES / 2 - limits::RECORD_OVERHEAD_BYTES;
        assert_eq!(batches(&[limits::MAX_BATCH_BYTES, half, half, 10, half]), [1, 2, 2]);
    }

    #[test]
    fn a_short_queue_goes_in_requests_of_one_write() {
        assert_eq!(batches(&[3_000, 3_000, 3_000, 20_000, 10]), [2, 1, 1, 1]);
        assert_eq!(batches(&[100; 60]), [60], "that is {} bytes", 60 * 112);
    }
}
