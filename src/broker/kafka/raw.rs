//! Publishing of records whose headers repeat, have no value or are in another order than their names': rskafka keeps headers
//! in a sorted map. Only dead letters have such headers, those of others' records.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use super::{errors, limit, security};
use crate::broker::{BrokerError, Position, Record, TopicPartition};
use crate::config::KafkaConfig;

/// At the end of the process, for what is on its way.
const FLUSH: Duration = Duration::from_secs(1);

type Outcome = Result<Position, BrokerError>;

/// Made when it is first needed.
pub(super) struct RawProducer {
    config: Arc<KafkaConfig>,
    producer: OnceLock<ThreadedProducer<Receipts>>,
}

impl RawProducer {
    /// Makes a producer that writes batches as they are given.
    pub fn new(config: Arc<KafkaConfig>) -> Self {
        Self { config, producer: OnceLock::new() }
    }

    /// `name` is the topic's in the cluster. The answer comes within `limit::PRODUCE`.
    pub fn publish(&self, name: &str, at: TopicPartition, record: &Record) -> oneshot::Receiver<Outcome> {
        let (reply, receipt) = oneshot::channel();
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(error) => {
                let _ = reply.send(Err(refusal(&error)));
                return receipt;
            }
        };
        let mut headers = OwnedHeaders::new_with_capacity(8);
        for (key, value) in record.headers.iter() {
            headers = headers.insert(Header { key, value: value.map(|value| &value[..]) });
        }
        let partition = at.partition;
        let mut message = BaseRecord::<[u8], [u8], _>::with_opaque_to(name, Box::new((at, reply)))
            .partition(partition)
            .headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        if let Err((error, message)) = producer.send(message) {
            let _ = message.delivery_opaque.1.send(Err(refusal(&error)));
        }
        receipt
    }

    fn producer(&self) -> Result<&ThreadedProducer<Receipts>, KafkaError> {
        if let Some(producer) = self.producer.get() {
            return Ok(producer);
        }
        let mut settings = ClientConfig::new();
        security::librdkafka(&mut settings, &self.config);
        let producer = settings
            .set("bootstrap.servers", self.config.brokers.join(","))
            .set("acks", "all")
            .set("message.timeout.ms", limit::PRODUCE.as_millis().to_string())
            .set("linger.ms", "0")
            .set("allow.auto.create.topics", "false")
            .set("log.connection.close", "false")
            .create_with_context(Receipts)?;
        Ok(self.producer.get_or_init(|| producer))
    }
}

impl Drop for RawProducer {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.get() {
            let _ = producer.flush(FLUSH);
        }
    }
}

fn refusal(error: &KafkaError) -> BrokerError {
    const REJECTED: [RDKafkaErrorCode; 4] = [
        RDKafkaErrorCode::MessageSizeTooLarge,
        RDKafkaErrorCode::InvalidMessage,
        RDKafkaErrorCode::InvalidRecord,
        RDKafkaErrorCode::InvalidTimestamp,
    ];
    let code = error.rdkafka_error_code();
    if code.is_some_and(|code| REJECTED.contains(&code)) {
        return BrokerError::Rejected(error.to_string());
    }
    errors::from_rdkafka(code, &error.to_string())
}

/// Hands each record's outcome to who waits for it.
struct Receipts;

impl ClientContext for Receipts {
    fn error(&self, error: KafkaError, reason: &str) {
        log::debug!(error:% = error; "librdkafka: {reason}");
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }
}

impl ProducerContext for Receipts {
    type DeliveryOpaque = Box<(TopicPartition, oneshot::Sender<Outcome>)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let (TopicPartition { topic, partition }, reply) = *opaque;
        let outcome = match result {
            Ok(message) => Ok(Position { topic, partition, offset: message.offset() }),
            Err((error, _)) => Err(refusal(error)),
        };
        // Who waited may be gone.
        let _ = reply.send(outcome);
    }
}
