//! Batches that can't be decoded: which partition they lie in, where they end, and how the consumer gets past them.
//!
//! librdkafka says at which offset such a batch begins and nothing else; then it asks for the same batch for ever. So a
//! second consumer, which is no member, reads from single offsets: within the batch it meets the same error.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};

use super::LARGEST_BATCH;
use super::context::Context;
use crate::broker::kafka::decode::{self, Signal};
use crate::broker::kafka::security;
use crate::broker::{Delivery, Position, Record, TopicPartition, Undecodable};
use crate::config::KafkaConfig;

/// Time limit for reading one offset.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Time that a broker has to answer a question.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Finds the batch that begins at `begin` among the consumer's partitions and has the consumer go on behind it. Returns what
/// stands for the batch; `None` when it isn't found now: librdkafka will complain again. `next` tells what was given last.
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
    if let Err(error) = consumer.seek(&name, partition, Offset::Offset(next_offset), ANSWER_LIMIT) {
        log::debug!(topic:% = name, partition, error:% = error; "undecodable batch not passed");
        return None;
    }
    let at = TopicPartition { topic: consumer.context().topic(&name), partition };
    // A batch may begin below what is committed.
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
    let answer = consumer.committed_offsets(list, ANSWER_LIMIT).ok()?;
    match answer.find_partition(name, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    }
}

/// The cluster's name of the topic, the partition, and the first offset behind the batch.
fn find(
    config: &Arc<KafkaConfig>,
    consumer: &BaseConsumer<Context>,
    begin: i64,
) -> KafkaResult<Option<(String, i32, i64)>> {
    let probe = Probe::new(config)?;
    for element in consumer.assignment()?.elements() {
        let (name, partition) = (element.topic(), element.partition());
        let (low, high) = consumer.fetch_watermarks(name, partition, ANSWER_LIMIT)?;
        let first = begin.max(low);
        if first < high && probe.meets(name, partition, first, begin)? {
            let next_offset = probe.end(name, partition, begin, first..high)?;
            return Ok(Some((name.to_owned(), partition, next_offset)));
        }
    }
    Ok(None)
}

struct Probe(BaseConsumer<Ear>);

/// Hears what librdkafka says of the partition.
#[derive(Default)]
struct Ear(Mutex<Option<Signal>>);

impl Ear {
    fn take(&self) -> Option<Signal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Ear {
    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(signal) = decode::signal(error.rdkafka_error_code(), reason) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(signal);
        }
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }
}

impl ConsumerContext for Ear {}

impl Probe {
    fn new(config: &KafkaConfig) -> KafkaResult<Self> {
        let mut settings = ClientConfig::new();
        security::librdkafka(&mut settings, config);
        settings
            .set("bootstrap.servers", config.brokers.join(","))
            // librdkafka wants one; nothing is joined and nothing committed.
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
            .set("receive.message.max.bytes", LARGEST_BATCH)
            .set("log.connection.close", "false");
        Ok(Self(settings.create_with_context(Ear::default())?))
    }

    /// Whether reading from `offset` on meets the batch that begins at `begin` and can't be decoded.
    fn meets(&self, name: &str, partition: i32, offset: i64, begin: i64) -> KafkaResult<bool> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(offset))?;
        self.0.context().take();
        self.0.assign(&list)?;
        let until = Instant::now() + PROBE_LIMIT;
        while Instant::now() < until {
            match self.0.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => return Ok(message.offset() < begin),
                Some(Err(error)) => match self.0.context().take() {
                    Some(Signal::Undecodable { offset, .. }) => return Ok(offset == begin),
                    Some(Signal::End(_)) => return Ok(false),
                    None => log::debug!(error:% = error; "undecodable batch is looked for"),
                },
            }
        }
        Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    }

    /// The first offset that is not in the batch, which has the first of `offsets` and ends with them at the latest.
    fn end(&self, name: &str, partition: i32, begin: i64, offsets: Range<i64>) -> KafkaResult<i64> {
        let (mut within, mut behind, mut step) = (offsets.start, offsets.end, 1);
        while within + step < behind {
            if !self.meets(name, partition, within + step, begin)? {
                behind = within + step;
                break;
            }
            within += step;
            step *= 2;
        }
        while within + 1 < behind {
            let middle = within + (behind - within) / 2;
            if self.meets(name, partition, middle, begin)? {
                within = middle;
            } else {
                behind = middle;
            }
        }
        Ok(behind)
    }
}
