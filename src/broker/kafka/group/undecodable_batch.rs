//! Skips batches that can't be decoded: finds the partition that they lie in and their end, and seeks behind them.
//!
//! librdkafka reports only the offset at which such a batch begins, and then fetches the same batch for ever. So a
//! second consumer, which is no member, reads from single offsets: within the batch it gets the same error.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};

use super::context::Context;
use crate::broker::kafka::decode::{self, Signal};
use crate::broker::kafka::{limits, security};
use crate::broker::{Delivery, Position, Record, TopicPartition, Undecodable};
use crate::config::KafkaConfig;

/// Finds the batch that begins at `begin` among the consumer's partitions and makes the consumer continue behind it.
/// Returns a delivery that stands for the batch; `None` when it isn't found now: librdkafka will report it again.
/// `next` returns the next offset behind what was delivered of a partition.
pub(super) fn skip(
    config: &Arc<KafkaConfig>,
    consumer: &BaseConsumer<Context>,
    begin: i64,
    cause: String,
    next: impl Fn(&TopicPartition) -> Option<i64>,
) -> Option<Delivery> {
    let found = find(config, consumer, begin);
    let (name, partition, next_offset) = match found {
        Ok(Some(found)) => found,
        Ok(None) => {
            log::debug!(offset = begin; "undecodable batch not located");
            return None;
        }
        Err(error) => {
            log::debug!(offset = begin, error:% = error; "undecodable batch not located");
            return None;
        }
    };
    if let Err(error) =
        consumer.seek(&name, partition, Offset::Offset(next_offset), limits::OFFSET_QUERY_TIMEOUT)
    {
        log::debug!(topic:% = name, partition, error:% = error; "undecodable batch not skipped");
        return None;
    }
    let at = TopicPartition { topic: consumer.context().topic(&name), partition };
    // A batch may begin below the committed offset.
    let offset = next(&at).or_else(|| committed(consumer, &name, partition)).unwrap_or(begin).max(begin);
    let position = Position { topic: at.topic, partition, offset: offset.min(next_offset - 1) };
    Some(Delivery {
        position,
        timestamp_ms: -1,
        record: Record::default(),
        undecodable: Some(Undecodable { next_offset, cause }),
    })
}

fn committed(consumer: &BaseConsumer<Context>, name: &str, partition: i32) -> Option<i64> {
    let mut list = TopicPartitionList::new();
    list.add_partition(name, partition);
    let answer = consumer.committed_offsets(list, limits::OFFSET_QUERY_TIMEOUT).ok()?;
    match answer.find_partition(name, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    }
}

/// Finds the topic (by its name in the cluster), the partition, and the first offset behind the batch.
fn find(
    config: &Arc<KafkaConfig>,
    consumer: &BaseConsumer<Context>,
    begin: i64,
) -> KafkaResult<Option<(String, i32, i64)>> {
    let probe = Probe::new(config)?;
    for element in consumer.assignment()?.elements() {
        let (name, partition) = (element.topic(), element.partition());
        let (low, high) = consumer.fetch_watermarks(name, partition, limits::OFFSET_QUERY_TIMEOUT)?;
        let first = begin.max(low);
        if first < high && probe.is_within(name, partition, first, begin)? {
            let next_offset = probe.end(name, partition, begin, first..high)?;
            return Ok(Some((name.to_owned(), partition, next_offset)));
        }
    }
    Ok(None)
}

struct Probe(BaseConsumer<LastSignal>);

/// Context that keeps librdkafka's last report about the partition.
#[derive(Default)]
struct LastSignal(Mutex<Option<Signal>>);

impl LastSignal {
    fn take(&self) -> Option<Signal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for LastSignal {
    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(signal) = decode::signal(error.rdkafka_error_code(), reason) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(signal);
        }
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }
}

impl ConsumerContext for LastSignal {}

impl Probe {
    fn new(config: &KafkaConfig) -> KafkaResult<Self> {
        let mut settings = ClientConfig::new();
        security::librdkafka(&mut settings, config);
        settings
            .set("bootstrap.servers", config.brokers.join(","))
            // librdkafka requires one; no group is joined and nothing is committed.
            .set("group.id", "filesys-probe")
            .set("enable.auto.commit", "false")
            .set("allow.auto.create.topics", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.min.messages", "1")
            .set("fetch.max.bytes", "8388608")
            .set("receive.message.max.bytes", limits::MAX_READ_BATCH_BYTES)
            .set("log.connection.close", "false");
        Ok(Self(settings.create_with_context(LastSignal::default())?))
    }

    /// Tells whether `offset` lies in the undecodable batch that begins at `begin`.
    fn is_within(&self, name: &str, partition: i32, offset: i64, begin: i64) -> KafkaResult<bool> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(offset))?;
        self.0.context().take();
        self.0.assign(&list)?;
        let until = Instant::now() + limits::OFFSET_PROBE_TIMEOUT;
        while Instant::now() < until {
            match self.0.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => return Ok(message.offset() < begin),
                Some(Err(error)) => match self.0.context().take() {
                    Some(Signal::Undecodable { offset, .. }) => return Ok(offset == begin),
                    Some(Signal::End(_)) => return Ok(false),
                    None => log::debug!(error:% = error; "probing for an undecodable batch"),
                },
            }
        }
        Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    }

    /// Returns the first offset behind the batch, which contains the first of `offsets` and ends with them at the
    /// latest: by doubling steps, then by bisection.
    fn end(&self, name: &str, partition: i32, begin: i64, offsets: Range<i64>) -> KafkaResult<i64> {
        let (mut within, mut behind, mut step) = (offsets.start, offsets.end, 1);
        while within + step < behind {
            if !self.is_within(name, partition, within + step, begin)? {
                behind = within + step;
                break;
            }
            within += step;
            step *= 2;
        }
        while within + 1 < behind {
            let middle = within + (behind - within) / 2;
            if self.is_within(name, partition, middle, begin)? {
                within = middle;
            } else {
                behind = middle;
            }
        }
        Ok(behind)
    }
}
