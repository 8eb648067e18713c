//! Tests against a real Apache Kafka, named by `TEST_KAFKA_BROKERS`; those that kill it start their own with
//! `TEST_KAFKA_SCRIPT`. A mock does what no real one does on demand.

mod cluster;
mod foreign_producers;
mod groups;
mod outages;
mod publishing;
mod worker;

use std::env;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;

use super::*;
use crate::broker::{MemberEvent, Undecodable};
use crate::not_run::not_run;

/// Time limit of a step on a loaded machine.
const STEP_TIMEOUT: Duration = Duration::from_mins(1);

/// Shortest session timeout that brokers allow.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Connects to the Kafka that was named; `None`, logged to stderr, where none was.
fn kafka() -> Option<Kafka> {
    let Ok(brokers) = env::var("TEST_KAFKA_BROKERS") else {
        not_run("TEST_KAFKA_BROKERS is not set");
        return None;
    };
    Some(kafka_at(&brokers))
}

fn kafka_at(brokers: &str) -> Kafka {
    let config = KafkaConfig {
        compat_topic: None,
        brokers: brokers.split(',').map(str::to_owned).collect(),
        prefix: String::new(),
        partitions: 3,
        replication_factor: None,
        session_timeout: SESSION_TIMEOUT,
        tls: None,
        sasl: None,
    };
    Kafka::new(&config, "filesys-tests")
}

fn membership(group: &str, topic: &str) -> Membership {
    Membership {
        group: group.to_owned(),
        client_id: format!("member-{}", unique()),
        topics: vec![topic.to_owned()],
        session_timeout: SESSION_TIMEOUT,
    }
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Makes a client for operations that the `Broker` trait doesn't have.
fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", env::var("TEST_KAFKA_BROKERS").unwrap()).create().unwrap()
}

async fn made_topic(kafka: &Kafka, partitions: i32) -> String {
    let name = format!("kafka-{}", unique());
    let spec = TopicSpec { name: name.clone(), partitions };
    let made = within("making a topic", kafka.ensure_topics(&[spec])).await;
    assert_eq!(made.unwrap(), std::slice::from_ref(&name));
    name
}

fn record(value: impl Into<Bytes>) -> Record {
    Record { value: Some(value.into()), ..Record::default() }
}

/// Makes records whose values are the numbers.
fn numbered(numbers: std::ops::Range<usize>) -> Vec<Record> {
    numbers.map(|number| record(number.to_string())).collect()
}

async fn publish(kafka: &Kafka, topic: &str, records: Vec<Record>) -> Vec<Position> {
    let outcomes = within("publishing", kafka.publish(topic, records)).await;
    outcomes.into_iter().map(Result::unwrap).collect()
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(STEP_TIMEOUT, future).await;
    outcome.unwrap_or_else(|_| panic!("{what} takes more than {STEP_TIMEOUT:?}"))
}
