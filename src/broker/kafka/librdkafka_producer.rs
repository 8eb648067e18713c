//! Publishes, through librdkafka, records whose headers repeat, have no value or are not sorted by name: rskafka keeps
//! headers in a sorted map. Only dead letters of other producers' records have such headers.

use std::sync::{Arc, OnceLock};

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use super::{errors, limits, security};
use crate::broker::{BrokerError, Position, Record, TopicPartition};
use crate::config::KafkaConfig;

type Outcome = Result<Position, BrokerError>;

/// Producer for records that rskafka can't carry. Its client is made with the first of them.
pub(super) struct LibrdkafkaProducer {
    config: Arc<KafkaConfig>,
    producer: OnceLock<ThreadedProducer<Receipts>>,
}

impl LibrdkafkaProducer {
    /// Makes a producer without a client.
    pub fn new(config: Arc<KafkaConfig>) -> Self {
        Self { config, producer: OnceLock::new() }
    }

    /// Publishes a record. `name` is the topic's name in the cluster. The outcome comes within
    /// `limits::PRODUCE_TIMEOUT`.
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
        // Queued only: the outcome comes to `Receipts::delivery`, on librdkafka's thread.
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
            .set("message.timeout.ms", limits::PRODUCE_TIMEOUT.as_millis().to_string())
            // Dead letters are rare, so there is nothing to wait for.
            .set("linger.ms", "0")
            .set("allow.auto.create.topics", "false")
            .set("log.connection.close", "false")
            .create_with_context(Receipts)?;
        // Another call may have made one meanwhile: then that one is used, and this one is dropped.
        Ok(self.producer.get_or_init(|| producer))
    }
}

impl Drop for LibrdkafkaProducer {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.get() {
            // Fails at the time limit; the receipts of what is left report it.
            let _ = producer.flush(limits::FLUSH_TIMEOUT);
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

/// Delivers each record's outcome to its receipt.
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
        // Fails when the publisher has stopped waiting.
        let _ = reply.send(outcome);
    }
}
