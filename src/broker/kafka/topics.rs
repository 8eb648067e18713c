//! Lists topics, and makes those that are missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rskafka::client::error::{Error, ProtocolError};
use tokio::time::{Instant, sleep};

use super::client::{Client, Connection};
use super::{errors, limits};
use crate::broker::{BrokerError, TopicPartition, TopicSpec};

/// Replication factor that is asked for first. Kafka's own `default.replication.factor` is 1 on clusters of any size.
const REPLICATION_FACTOR: i16 = 3;
/// Asks for the cluster's default; for clusters with fewer brokers than `REPLICATION_FACTOR`.
const CLUSTER_DEFAULT: i16 = -1;

/// Lists the topics and their numbers of partitions.
pub(super) async fn list(client: &Client) -> Result<BTreeMap<String, i32>, BrokerError> {
    let topics = client.topics(Duration::ZERO).await?;
    Ok(BTreeMap::clone(&topics))
}

/// Makes the topics that are missing, and waits until each of their partitions has a leader. Returns the names of those
/// made.
pub(super) async fn ensure(client: &Arc<Client>, topics: &[TopicSpec]) -> Result<Vec<String>, BrokerError> {
    let deadline = Instant::now() + limits::CREATE_TOPICS_TIMEOUT;
    let existing = list(client).await?;
    let mut made = Vec::new();
    for topic in topics.iter().filter(|topic| !existing.contains_key(&topic.name)) {
        let is_made_here = client
            .call(&topic.name, limits::CREATE_TOPIC_TIMEOUT, |connection| create(connection, topic))
            .await?;
        if is_made_here {
            made.push(topic.name.clone());
        }
    }
    // All are created before the first is waited for, so that the cluster elects their leaders at the same time.
    for topic in topics.iter().filter(|topic| !existing.contains_key(&topic.name)) {
        wait_for_leaders(client, &topic.name, deadline).await?;
    }
    Ok(made)
}

/// Makes a topic; returns false when another process has made it already.
async fn create(connection: Arc<Connection>, topic: &TopicSpec) -> Result<bool, Error> {
    let controller = connection.client.controller_client()?;
    let name = connection.prefix.add(&topic.name);
    let limit_ms = i32::try_from(limits::CREATE_TOPIC_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
    let wanted = connection.replication_factor;
    // Policies of managed clusters refuse a replication factor as well: then the cluster's default is asked for.
    for replicas in [wanted.unwrap_or(REPLICATION_FACTOR), CLUSTER_DEFAULT] {
        let outcome = controller.create_topic(&name, topic.partitions, replicas, limit_ms).await;
        let Err(error) = outcome else { return Ok(true) };
        match errors::protocol_error(&error) {
            // Another process was quicker; both may have found it missing.
            Some(ProtocolError::TopicAlreadyExists) => return Ok(false),
            Some(ProtocolError::InvalidReplicationFactor | ProtocolError::PolicyViolation)
                if wanted.is_none() && replicas == REPLICATION_FACTOR => {}
            _ => return Err(error),
        }
    }
    Ok(true)
}

async fn wait_for_leaders(client: &Arc<Client>, topic: &str, deadline: Instant) -> Result<(), BrokerError> {
    loop {
        let outcome = find_leaders(client, topic).await;
        if outcome.is_ok() || Instant::now() >= deadline {
            return outcome;
        }
        sleep(limits::TOPIC_RETRY_PAUSE).await;
    }
}

async fn find_leaders(client: &Arc<Client>, topic: &str) -> Result<(), BrokerError> {
    for partition in 0..client.partition_count(topic).await? {
        let at = TopicPartition { topic: topic.into(), partition };
        // Connecting to a partition makes its leader confirm that it leads.
        client.call_partition(&at, limits::LEADER_TIMEOUT, async |_| Ok(())).await?;
    }
    Ok(())
}
