//! Lane of one partition: sends what has piled up while its last request was in flight, and outlasts its leader's end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rskafka::chrono::{DateTime, Utc};
use rskafka::client::error::ProtocolError;
use rskafka::client::partition::Compression;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::client::Client;
use super::producer::Topic;
use super::{errors, limit, size};
use crate::broker::{BrokerError, Position, Record, TopicPartition};
use crate::domain::Pacing;
use crate::telemetry::Outage;

pub(super) const BATCH_RECORDS: usize = 1_000;
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

/// A request without an answer for this long makes the partition slow: records without a key go elsewhere.
const SLOW_AFTER: Duration = Duration::from_millis(500);
/// From then on the leader is asked, on another connection and again and again, whether it is alive.
const PROBE_AFTER: Duration = Duration::from_secs(2);
/// A connection that has answered within this time belongs to a broker that can't have been replaced meanwhile.
const PROVEN_FOR: Duration = Duration::from_secs(5);
/// Between two tries of what fails.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

type Outcome = Result<Position, BrokerError>;

/// A record on its way. One whose publisher is gone is not sent, nor one whose deadline is over.
pub(super) struct Pending {
    pub record: Record,
    pub reply: oneshot::Sender<Outcome>,
    pub deadline: Instant,
}

/// Whether a partition takes records, as its lane found out last.
#[derive(Debug, Default)]
pub(super) struct Health(AtomicU8);

impl Health {
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

    /// Unless it has failed, which says more.
    pub fn is_slow(&self) {
        let (from, to) = (Self::ANSWERS, Self::SLOW);
        // An error means that it is one of the others already.
        let _ = self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Notes a request that failed.
    pub fn fails(&self) {
        self.0.store(Self::FAILED, Ordering::Relaxed);
    }
}

/// Runs until the producer ends.
pub(super) async fn run(
    client: Arc<Client>,
    topic: Arc<Topic>,
    at: TopicPartition,
    queue: mpsc::Receiver<Pending>,
    health: Arc<Health>,
) {
    let mut lane = Lane {
        client,
        topic,
        at,
        queue,
        health,
        waiting: VecDeque::new(),
        pace: Pacing::new(EVERY, CROWD),
        pause: FIRST_PAUSE,
        proven: Instant::now(),
        outage: Outage::new("partition unavailable", "partition available again"),
    };
    while lane.round().await {}
}

struct Lane {
    client: Arc<Client>,
    topic: Arc<Topic>,
    at: TopicPartition,
    queue: mpsc::Receiver<Pending>,
    health: Arc<Health>,
    waiting: VecDeque<Pending>,
    pace: Pacing,
    /// Before the next try, while the partition fails.
    pause: Duration,
    /// When the present connection was last known to be good.
    proven: Instant,
    outage: Outage,
}

impl Lane {
    /// Sends one request, or tries once to reach the leader; false when nobody publishes any more.
    async fn round(&mut self) -> bool {
        if self.health.has_failed() {
            if !self.rest().await {
                return false;
            }
        } else if self.waiting.is_empty() {
            let Some(first) = self.queue.recv().await else { return false };
            self.waiting.push_back(first);
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
            for pending in unsent.into_iter().rev() {
                self.waiting.push_front(pending);
            }
            self.on_failure(error).await;
        }
        true
    }

    /// Takes from the queue what fits a batch; leaves out what nobody waits for.
    fn fill(&mut self) {
        while self.waiting.len() < BATCH_RECORDS
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

    /// Pauses before the next try; what could go elsewhere does. With nothing to send, asks whether the leader is back.
    async fn rest(&mut self) -> bool {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        loop {
            self.fill();
            self.move_elsewhere();
            match tokio::time::timeout_at(until, self.queue.recv()).await {
                Ok(Some(pending)) => self.waiting.push_back(pending),
                Ok(None) => return false,
                Err(_) => break,
            }
            if self.waiting.len() >= BATCH_RECORDS {
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
        self.proven = Instant::now();
        self.health.works();
        self.outage.works();
    }

    async fn on_failure(&mut self, error: BrokerError) {
        // The next try makes a connection of its own.
        self.proven = Instant::now();
        // Where no broker answers nothing is gained by waiting here: publishers are told, and decide.
        let is_ours = matches!(error, BrokerError::Unavailable(_)) && self.client.is_reachable().await;
        if is_ours {
            let TopicPartition { topic, partition } = &self.at;
            self.outage.fails(format_args!("{topic}-{partition}: {error}"));
            self.health.fails();
            self.move_elsewhere();
            return;
        }
        self.health.works();
        // What comes later in the partition must not overtake what failed.
        refuse(self.waiting.drain(..), &error);
        while let Ok(pending) = self.queue.try_recv() {
            refuse([pending], &error);
        }
    }

    /// Answers every record, but those of an error. A batch that the broker refuses is halved until only those to
    /// blame are refused.
    async fn send(&mut self, batch: Vec<Pending>) -> Result<(), (Vec<Pending>, BrokerError)> {
        let mut parts = VecDeque::from([batch]);
        while let Some(mut part) = parts.pop_front() {
            if part.is_empty() {
                continue;
            }
            match self.produce(&part).await {
                Ok(offsets) => {
                    self.works();
                    self.pause = FIRST_PAUSE;
                    for (pending, offset) in part.into_iter().zip(offsets) {
                        let TopicPartition { topic, partition } = self.at.clone();
                        // The publisher may have stopped waiting.
                        let _ = pending.reply.send(Ok(Position { topic, partition, offset }));
                    }
                }
                Err(BrokerError::Rejected(_)) if part.len() > 1 => {
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

    /// Gives up on a leader that has gone silent, and waits for one that is alive: its followers may not be.
    async fn produce(&mut self, part: &[Pending]) -> Result<Vec<i64>, BrokerError> {
        let (client, at) = (Arc::clone(&self.client), self.at.clone());
        let is_proven = self.proven.elapsed() <= PROVEN_FOR;
        let mut next_probe = Instant::now() + PROBE_AFTER;
        let mut request = std::pin::pin!(produce(&client, &at, part));
        loop {
            if let Ok(outcome) = timeout(SLOW_AFTER, &mut request).await {
                return outcome;
            }
            self.health.is_slow();
            self.fill();
            self.move_elsewhere();
            if Instant::now() < next_probe {
                continue;
            }
            let probe = tokio::select! {
                outcome = &mut request => return outcome,
                probe = client.connect_partition(&at) => probe,
            };
            probe.map_err(|error| BrokerError::Unavailable(format!("the leader is silent: {error}")))?;
            if !is_proven {
                return Err(BrokerError::Unavailable("the connection to the leader is dead".to_owned()));
            }
            next_probe = Instant::now() + PROBE_AFTER;
        }
    }
}

/// Takes as many records from the front as one request takes, at least one.
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

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
