//! Settings of topics, through librdkafka: rskafka can't read them.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;

use super::prefix::Prefix;
use super::reader::QuietContext;
use super::{errors, limits, security};
use crate::broker::BrokerError;
use crate::config::KafkaConfig;
use crate::domain::topic_settings::TopicSettings;

/// Returns the settings of the topics that exist; empty where reading them is not allowed.
pub(super) async fn describe(
    config: &KafkaConfig,
    prefix: &Prefix,
    topics: &BTreeMap<String, i32>,
) -> Result<BTreeMap<String, TopicSettings>, BrokerError> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let unavailable = |error: KafkaError| {
        errors::from_rdkafka(error.rdkafka_error_code(), &format!("settings of topics: {error}"))
    };
    let mut client = ClientConfig::new();
    security::librdkafka(&mut client, config);
    client
        .set("bootstrap.servers", config.brokers.join(","))
        .set("allow.auto.create.topics", "false")
        .set("log.connection.close", "false");
    let names: Vec<String> = topics.keys().map(|topic| prefix.add(topic)).collect();
    let admin: AdminClient<QuietContext> = client.create_with_context(QuietContext).map_err(unavailable)?;
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(limits::METADATA_TIMEOUT));
    let asked = admin.describe_configs(&resources, &options);
    let answer = tokio::time::timeout(limits::METADATA_TIMEOUT, asked).await;
    let answer =
        answer.map_err(|_| BrokerError::Unavailable("no answer about topics' settings".to_owned()))?;
    let mut settings: BTreeMap<String, TopicSettings> = topics
        .iter()
        .map(|(topic, &partitions)| (topic.clone(), TopicSettings { partitions, ..TopicSettings::default() }))
        .collect();
    for resource in answer.map_err(unavailable)?.into_iter().flatten() {
        let ConfigResource { specifier: OwnedResourceSpecifier::Topic(name), entries } = resource else {
            continue;
        };
        let Some(topic) = prefix.strip(&name).and_then(|name| settings.get_mut(name)) else { continue };
        topic.configs = entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
    }
    let asking = tokio::task::spawn_blocking(move || replicas(&client, names));
    let replicas = asking.await.map_err(|error| BrokerError::Unavailable(error.to_string()))?;
    for (name, replicas) in replicas.map_err(unavailable)? {
        if let Some(topic) = prefix.strip(&name).and_then(|name| settings.get_mut(name)) {
            topic.replicas = replicas;
        }
    }
    Ok(settings)
}

/// Returns the lowest number of replicas of each topic's partitions. Blocks for at most `limits::METADATA_TIMEOUT` for
/// each topic.
fn replicas(client: &ClientConfig, names: Vec<String>) -> Result<Vec<(String, Option<i32>)>, KafkaError> {
    let client: BaseConsumer = client.create()?;
    let of_one = |name: String| {
        let metadata = client.fetch_metadata(Some(&name), limits::METADATA_TIMEOUT)?;
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        let fewest = partitions.map(|partition| partition.replicas().len()).min();
        Ok((name, fewest.and_then(|count| i32::try_from(count).ok())))
    };
    names.into_iter().map(of_one).collect()
}
