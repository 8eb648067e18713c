//! Reads without a group: a range of records, and the watermarks of each partition.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::try_join_all;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use rskafka::client::partition::{OffsetAt, PartitionClient};

use super::client::Client;
use super::{decode, errors, limits, security};
use crate::broker::{BrokerError, Delivery, Position, TopicPartition, Watermarks};
use crate::config::KafkaConfig;

/// Reads committed records, through librdkafka: rskafka knows fewer codecs and loses repeated headers.
pub(super) async fn read(
    client: &Arc<Client>,
    config: &Arc<KafkaConfig>,
    name: String,
    from: &Position,
    max: usize,
) -> Result<Vec<Delivery>, BrokerError> {
    if max == 0 {
        return Ok(Vec::new());
    }
    // Checked first: where brokers create topics automatically, a consumer's request would create a missing one.
    if from.partition >= client.partition_count(&from.topic).await? {
        return Err(BrokerError::UnknownTopic(from.topic.to_string()));
    }
    let marks = watermarks_of(client, &from.topic_partition()).await?;
    // Records that retention has deleted are skipped.
    let start = from.offset.max(marks.low);
    if start >= marks.stable {
        return Ok(Vec::new());
    }
    let (config, from) = (Arc::clone(config), Position { offset: start, ..from.clone() });
    let reading = tokio::task::spawn_blocking(move || read_partition(&config, &name, &from, max));
    reading.await.unwrap_or_else(|error| Err(BrokerError::Unavailable(error.to_string())))
}

/// Reads records from one partition. Blocks for at most `limits::READ_TIMEOUT`.
fn read_partition(
    config: &KafkaConfig,
    name: &str,
    from: &Position,
    max: usize,
) -> Result<Vec<Delivery>, BrokerError> {
    let unavailable = |error: KafkaError| {
        errors::from_rdkafka(error.rdkafka_error_code(), &format!("reading {from}: {error}"))
    };
    let mut settings = ClientConfig::new();
    security::librdkafka(&mut settings, config);
    let consumer: BaseConsumer<QuietContext> = settings
        .set("bootstrap.servers", config.brokers.join(","))
        // librdkafka requires one; no group is joined and nothing is committed.
        .set("group.id", "filesys-reader")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        // An offset that is gone must be an error, and not make the reader start elsewhere.
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .set("socket.nagle.disable", "true")
        .set("log.connection.close", "false")
        .create_with_context(QuietContext)
        .map_err(unavailable)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(name, from.partition, Offset::Offset(from.offset)).map_err(unavailable)?;
    consumer.assign(&list).map_err(unavailable)?;
    let until = Instant::now() + limits::READ_TIMEOUT;
    let mut deliveries = Vec::new();
    while deliveries.len() < max {
        match consumer.poll(limits::READ_POLL_TIMEOUT) {
            Some(Ok(message)) => deliveries.push(Delivery {
                position: Position { offset: message.offset(), ..from.clone() },
                timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                record: decode::record(&message),
                undecodable: None,
            }),
            // The end is no error: fewer records than `max` are returned.
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error @ KafkaError::MessageConsumption(_)))
                if error.rdkafka_error_code().is_some_and(decode::is_batch_defect) =>
            {
                return Err(unavailable(error));
            }
            // Transient: librdkafka retries by itself until the time limit.
            Some(Err(error)) => log::debug!(error:% = error; "reading continues after an error"),
            None => {}
        }
        if Instant::now() >= until {
            return Err(BrokerError::Unavailable(format!("reading {from} takes too long")));
        }
    }
    Ok(deliveries)
}

/// Context of short-lived clients. It logs errors at debug level only, since each call returns its own.
pub(super) struct QuietContext;

impl ClientContext for QuietContext {
    fn error(&self, error: KafkaError, reason: &str) {
        log::debug!(error:% = error; "librdkafka: {reason}");
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }
}

impl ConsumerContext for QuietContext {}

/// Returns the watermarks of every partition.
pub(super) async fn watermarks(
    client: &Arc<Client>,
    config: &Arc<KafkaConfig>,
    name: String,
    topic: &str,
) -> Result<Vec<Watermarks>, BrokerError> {
    let partitions = client.partition_count(topic).await?;
    let topic: Arc<str> = topic.into();
    let of_one = async |partition: i32| {
        watermarks_of(client, &TopicPartition { topic: Arc::clone(&topic), partition }).await
    };
    let mut watermarks = try_join_all((0..partitions).map(of_one)).await?;
    let config = Arc::clone(config);
    let asking = tokio::task::spawn_blocking(move || high_watermarks(&config, &name, partitions));
    let highs = asking.await.unwrap_or_else(|error| Err(BrokerError::Unavailable(error.to_string())))?;
    for (marks, high) in watermarks.iter_mut().zip(highs) {
        // A record may have been written between the two requests.
        marks.high = marks.high.max(high);
    }
    Ok(watermarks)
}

/// Returns the high watermark of each partition, through librdkafka: rskafka only reads the last stable offset. Blocks
/// for at most `limits::READ_TIMEOUT` for each partition.
fn high_watermarks(config: &KafkaConfig, name: &str, partitions: i32) -> Result<Vec<i64>, BrokerError> {
    let unavailable = |error: KafkaError| {
        errors::from_rdkafka(error.rdkafka_error_code(), &format!("the ends of {name}: {error}"))
    };
    let mut settings = ClientConfig::new();
    security::librdkafka(&mut settings, config);
    let client: BaseConsumer<QuietContext> = settings
        .set("bootstrap.servers", config.brokers.join(","))
        .set("isolation.level", "read_uncommitted")
        .set("allow.auto.create.topics", "false")
        .set("socket.nagle.disable", "true")
        .set("log.connection.close", "false")
        .create_with_context(QuietContext)
        .map_err(unavailable)?;
    let high =
        |partition| client.fetch_watermarks(name, partition, limits::READ_TIMEOUT).map(|(_, high)| high);
    (0..partitions).map(|partition| high(partition).map_err(unavailable)).collect()
}

async fn watermarks_of(client: &Client, at: &TopicPartition) -> Result<Watermarks, BrokerError> {
    let partition = at.partition;
    client
        .call_partition(at, limits::READ_TIMEOUT, async |client: Arc<PartitionClient>| {
            let low = client.get_offset(OffsetAt::Earliest).await?;
            let stable = client.get_offset(OffsetAt::Latest).await?;
            Ok(Watermarks { partition, low, high: stable, stable })
        })
        .await
}
