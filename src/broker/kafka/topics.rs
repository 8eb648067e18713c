//! Which topics there are, and making those that are missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rskafka::client::error::{Error, ProtocolError};
use tokio::time::{Instant, sleep};

use super::client::{Client, Connection};
use super::{errors, limit};
use crate::broker::{BrokerError, TopicPartition, TopicSpec};

/// What a cluster of at least three brokers gives; Apache's own `default.replication.factor` is 1 there too.
const REPLICAS: i16 = 3;
/// The cluster's default, for one that refuses `REPLICAS`.
const CLUSTER_DEFAULT: i16 = -1;
const RETRY_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn list(client: &Client) -> Result<BTreeMap<String, i32>, BrokerError> {
    let topics = client.topics(Duration::ZERO).await?;
    Ok(BTreeMap::clone(&topics))
}

pub(super) async fn ensure(client: &Arc<Client>, topics: &[TopicSpec]) -> Result<Vec<String>, BrokerError> {
    let deadline = Instant::now() + limit::CREATE_TOPICS;
    let there = list(client).await?;
    let mut made = Vec::new();
    for topic in topics.iter().filter(|topic| !there.contains_key(&topic.name)) {
        let is_ours =
            client.call(&topic.name, limit::CREATE_TOPIC, |connection| create(connection, topic)).await?;
        if is_ours {
            made.push(topic.name.clone());
        }
    }
    for topic in topics.iter().filter(|topic| !there.contains_key(&topic.name)) {
        wait_for_leaders(client, &topic.name, deadline).await?;
    }
    Ok(made)
}

/// Whether it was us who made it.
async fn create(connection: Arc<Connection>, topic: &TopicSpec) -> Result<bool, Error> {
    let controller = connection.client.controller_client()?;
    let name = connection.prefix.add(&topic.name);
    let limit_ms = i32::try_from(limit::CREATE_TOPIC.as_millis()).unwrap_or(i32::MAX);
    let wanted = connection.replication_factor;
    for replicas in [wanted.unwrap_or(REPLICAS), CLUSTER_DEFAULT] {
        let outcome = controller.create_topic(&name, topic.partitions, replicas, limit_ms).await;
        let Err(error) = outcome else { return Ok(true) };
        match errors::protocol_error(&error) {
            Some(ProtocolError::TopicAlreadyExists) => return Ok(false),
            Some(ProtocolError::InvalidReplicationFactor | ProtocolError::PolicyViolation)
                if wanted.is_none() && replicas == REPLICAS => {}
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
        sleep(RETRY_PAUSE).await;
    }
}

async fn find_leaders(client: &Arc<Client>, topic: &str) -> Result<(), BrokerError> {
    for partition in 0..client.partition_count(topic).await? {
        let at = TopicPartition { topic: topic.into(), partition };
        // Connecting to a partition asks its leader whether it knows that it is.
        client.call_partition(&at, limit::LEADER, async |_| Ok(())).await?;
    }
    Ok(())
}
