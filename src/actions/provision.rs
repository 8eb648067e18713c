//! Make what the roles need: schema, topics, bucket. Idempotent, safe when many run at once.

use std::cmp::Ordering;

use secrecy::SecretString;
use serde::Serialize;

use crate::broker::{Broker, TopicSpec};
use crate::config::KafkaConfig;
use crate::db::migrations;
use crate::domain::Result;
use crate::domain::messages::topics;
use crate::domain::shell::quoted;
use crate::storage::Storage;

/// Returns the names of the migrations applied now.
pub async fn schema(url: &SecretString) -> Result<Vec<String>> {
    Ok(migrations::migrate(url).await?)
}

/// Makes the topics that are missing, and the compatible one if it is wanted. Returns the names of those made now; existing
/// ones stay as they are.
pub async fn topics(broker: &dyn Broker, partitions: i32, compat: Option<&str>) -> Result<Vec<String>> {
    Ok(broker.ensure_topics(&wanted(partitions, compat)).await?)
}

fn wanted(partitions: i32, compat: Option<&str>) -> Vec<TopicSpec> {
    let names = topics::ALL.into_iter().chain(compat);
    names.map(|name| TopicSpec { name: name.to_owned(), partitions }).collect()
}

/// State of one topic: what it should be, and what it is in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicState {
    pub topic: String,
    /// Partitions.
    pub wanted: i32,
    /// `None` where there is no such topic.
    pub found: Option<i32>,
    pub state: Agreement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Agreement {
    Ok,
    Missing,
    /// Fewer partitions than wanted, and so fewer members at work. Only an operator can add some.
    Fewer,
    /// More partitions than wanted, which does no harm. There is no way back.
    More,
}

/// Kafka's own tool adds partitions: rskafka can't.
pub fn add_partitions_command(config: &KafkaConfig, topic: &str) -> String {
    let (brokers, topic) = (quoted(config.brokers.join(",")), quoted(topic));
    let partitions = config.partitions;
    format!("kafka-topics.sh --bootstrap-server {brokers} --alter --topic {topic} --partitions {partitions}")
}

/// Looks, and changes nothing.
pub async fn topic_states(
    broker: &dyn Broker,
    partitions: i32,
    compat: Option<&str>,
) -> Result<Vec<TopicState>> {
    let there = broker.topics().await?;
    let state = |TopicSpec { name, partitions }| {
        let found = there.get(&name).copied();
        let state = match found.map(|found| found.cmp(&partitions)) {
            None => Agreement::Missing,
            Some(Ordering::Less) => Agreement::Fewer,
            Some(Ordering::Equal) => Agreement::Ok,
            Some(Ordering::Greater) => Agreement::More,
        };
        TopicState { topic: name, wanted: partitions, found, state }
    };
    Ok(wanted(partitions, compat).into_iter().map(state).collect())
}

/// True when the bucket was made now.
pub async fn bucket(storage: &Storage) -> Result<bool> {
    Ok(storage.ensure_bucket().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::local::LocalBroker;

    #[tokio::test]
    async fn each_topic_is_compared_with_what_is_wanted() {
        let broker = LocalBroker::default();
        for (name, partitions) in [(topics::CREATE, 2), (topics::CREATED, 3), (topics::EVENTS, 4)] {
            let spec = TopicSpec { name: name.to_owned(), partitions };
            broker.ensure_topics(&[spec]).await.unwrap();
        }
        let states = topic_states(&broker, 3, None).await.unwrap();
        let found: Vec<_> = states.iter().map(|one| (one.topic.as_str(), one.found, one.state)).collect();
        assert_eq!(
            found,
            [
                (topics::CREATE, Some(2), Agreement::Fewer),
                (topics::CREATED, Some(3), Agreement::Ok),
                (topics::EVENTS, Some(4), Agreement::More),
                (topics::DEAD_LETTERS, None, Agreement::Missing),
            ]
        );
        assert_eq!(
            topics(&broker, 3, Some("file-events")).await.unwrap(),
            [topics::DEAD_LETTERS, "file-events"]
        );
        let after = topic_states(&broker, 3, Some("file-events")).await.unwrap();
        assert_eq!(after[..3], states[..3], "existing topics stay as they are");
        assert_eq!(after[3..].iter().map(|one| one.state).collect::<Vec<_>>(), [Agreement::Ok; 2]);
    }
}
