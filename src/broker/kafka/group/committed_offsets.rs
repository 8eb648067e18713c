//! Committed offsets of a group, read without joining it.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::broker::BrokerError;
use crate::broker::kafka::{errors, limits, security};
use crate::config::KafkaConfig;

/// Reads a group's committed offsets of a topic. Blocks for at most `limits::READ_TIMEOUT`. The consumer never
/// subscribes, so it does not join the group.
pub(in crate::broker::kafka) fn committed(
    config: &KafkaConfig,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Result<BTreeMap<i32, i64>, BrokerError> {
    let unavailable = |error: rdkafka::error::KafkaError| {
        errors::from_rdkafka(error.rdkafka_error_code(), &format!("offsets of group {group}: {error}"))
    };
    let mut settings = ClientConfig::new();
    security::librdkafka(&mut settings, config);
    let client: BaseConsumer = settings
        .set("bootstrap.servers", config.brokers.join(","))
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("log.connection.close", "false")
        .create()
        .map_err(unavailable)?;
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_range(topic, 0, partitions - 1);
    let answer = client.committed_offsets(wanted, limits::READ_TIMEOUT).map_err(unavailable)?;
    let elements = answer.elements();
    let known = elements.iter().filter_map(|element| match element.offset() {
        Offset::Offset(offset) => Some((element.partition(), offset)),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    });
    Ok(known.collect())
}
