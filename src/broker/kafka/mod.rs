//! Apache Kafka: rskafka publishes and manages topics; librdkafka (rdkafka) reads, holds group membership, and
//! publishes what rskafka can't.

mod advertised;
mod client;
mod decode;
mod errors;
mod group;
mod librdkafka_producer;
mod limits;
mod partition_queue;
mod partition_sender;
mod prefix;
mod producer;
mod reader;
mod security;
#[cfg(test)]
mod tests;
mod topic_settings;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use self::client::Client;
use self::prefix::Prefix;
use self::producer::Producer;
use super::{
    Broker, BrokerError, Delivery, Member, Membership, Position, Receipt, Record, TopicSpec, Watermarks,
};
use crate::config::kafka::KafkaConfig;
use crate::domain::topic_settings::TopicSettings;

/// Client of a Kafka cluster. Cheap to make and to clone; connects at the first call and again after a failure.
#[derive(Clone)]
pub struct Kafka {
    config: Arc<KafkaConfig>,
    prefix: Prefix,
    client: Arc<Client>,
    producer: Arc<Producer>,
}

impl Kafka {
    /// Makes the client; nothing is asked of the cluster yet.
    pub fn new(config: &KafkaConfig, client_id: &str) -> Self {
        security::warn_about_passwords(config);
        let prefix = Prefix::new(&config.prefix);
        let config = Arc::new(config.clone());
        let client = Arc::new(Client::new(Arc::clone(&config), client_id, prefix.clone()));
        let producer = Arc::new(Producer::new(Arc::clone(&client), &config, prefix.clone()));
        Self { config, prefix, client, producer }
    }

    /// Asks the cluster for the host and port under which each of its brokers can be reached.
    pub async fn advertised(&self) -> Result<Vec<(String, u16)>, BrokerError> {
        let config = Arc::clone(&self.config);
        let asked = tokio::task::spawn_blocking(move || advertised::addresses(&config));
        asked.await.unwrap_or_else(|error| Err(BrokerError::Unavailable(error.to_string())))
    }
}

#[async_trait]
impl Broker for Kafka {
    async fn send(&self, topic: &str, records: Vec<Record>) -> Vec<Receipt> {
        self.producer.send(topic, records).await
    }

    async fn join(&self, membership: Membership) -> Result<Box<dyn Member>, BrokerError> {
        let outage = Arc::clone(&self.client.outage);
        let member = group::join(&self.config, &self.prefix, outage, membership)?;
        Ok(Box::new(member))
    }

    async fn read(&self, from: &Position, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        reader::read(&self.client, &self.config, self.prefix.add(&from.topic), from, max).await
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, BrokerError> {
        reader::watermarks(&self.client, &self.config, self.prefix.add(topic), topic).await
    }

    async fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, BrokerError> {
        let partitions = self.client.partition_count(topic).await?;
        let (group, topic) = (self.prefix.add(group), self.prefix.add(topic));
        let config = Arc::clone(&self.config);
        let asked =
            tokio::task::spawn_blocking(move || group::committed(&config, &group, &topic, partitions));
        asked.await.unwrap_or_else(|error| Err(BrokerError::Unavailable(error.to_string())))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<Vec<String>, BrokerError> {
        topics::ensure(&self.client, topics).await
    }

    async fn topics(&self) -> Result<BTreeMap<String, i32>, BrokerError> {
        topics::list(&self.client).await
    }

    async fn topic_settings(&self, topics: &[&str]) -> Result<BTreeMap<String, TopicSettings>, BrokerError> {
        let mut existing = topics::list(&self.client).await?;
        existing.retain(|topic, _| topics.contains(&topic.as_str()));
        topic_settings::describe(&self.config, &self.prefix, &existing).await
    }
}

/// Returns the bytes of key, value and headers.
fn size(record: &Record) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    length(&record.key) + length(&record.value) + record.headers.size()
}
