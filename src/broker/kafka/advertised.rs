//! The addresses at which the brokers of a cluster tell clients to reach them (`advertised.listeners`).

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{errors, limits, security};
use crate::broker::BrokerError;
use crate::config::KafkaConfig;

/// Returns host and port of each broker. Blocks for at most `limits::METADATA_TIMEOUT`.
pub(super) fn addresses(config: &KafkaConfig) -> Result<Vec<(String, u16)>, BrokerError> {
    let failed = |error: rdkafka::error::KafkaError| {
        errors::from_rdkafka(error.rdkafka_error_code(), &format!("the cluster's brokers: {error}"))
    };
    let mut settings = ClientConfig::new();
    security::librdkafka(&mut settings, config);
    let client: BaseConsumer = settings
        .set("bootstrap.servers", config.brokers.join(","))
        .set("allow.auto.create.topics", "false")
        .set("log.connection.close", "false")
        .create()
        .map_err(failed)?;
    let metadata = client.fetch_metadata(Some("__none__"), limits::METADATA_TIMEOUT).map_err(failed)?;
    let addresses = metadata.brokers().iter();
    Ok(addresses
        .map(|broker| (broker.host().to_owned(), u16::try_from(broker.port()).unwrap_or_default()))
        .collect())
}
