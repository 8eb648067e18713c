//! Logins to Apache Kafka that need no OpenSSL, and what a client can do afterwards.

use std::time::Duration;

use filesys::broker::kafka::Kafka;
use filesys::broker::{Broker, Delivery, Member, MemberEvent, Membership, Record, TopicSpec};
use filesys::config::{Env, KafkaConfig};

use crate::support::secure_kafka::{Listener, PASSWORD, SecureKafka, USER};
use crate::support::{PATIENCE, unique, within};

pub type Settings = Vec<(&'static str, String)>;

pub fn config(address: &str, settings: &Settings) -> KafkaConfig {
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    let mut env = Env::of([("KAFKA_BROKERS", address)].into_iter().chain(settings));
    let config = KafkaConfig::read(&mut env);
    env.finish().unwrap();
    config
}

pub fn login(mechanism: &str, password: &str) -> Settings {
    vec![
        ("KAFKA_SASL_MECHANISM", mechanism.to_owned()),
        ("KAFKA_SASL_USERNAME", USER.to_owned()),
        ("KAFKA_SASL_PASSWORD", password.to_owned()),
    ]
}

pub fn membership(topic: &str) -> Membership {
    Membership {
        group: topic.to_owned(),
        client_id: "tls-test".to_owned(),
        topics: vec![topic.to_owned()],
        session_timeout: Duration::from_secs(6),
    }
}

/// Creates a topic, publishes, joins, consumes, commits, and starts after the committed offset.
pub async fn round_trip(kafka: &Kafka) {
    let topic = unique("tls-");
    let spec = TopicSpec { name: topic.clone(), partitions: 1 };
    within(PATIENCE, "making a topic", kafka.ensure_topics(&[spec])).await.unwrap();
    for value in ["first", "second"] {
        let record = Record { value: Some(value.into()), ..Record::default() };
        kafka.publish(&topic, vec![record]).await.remove(0).unwrap();
        let mut member = kafka.join(membership(&topic)).await.unwrap();
        let delivery = within(PATIENCE, "a record", record_of(&mut *member)).await;
        assert_eq!(delivery.record.value.as_deref(), Some(value.as_bytes()));
        let mut next = delivery.position;
        next.offset += 1;
        within(PATIENCE, "committing", member.commit(vec![next])).await.unwrap();
        within(PATIENCE, "leaving", member.leave()).await;
    }
}

async fn record_of(member: &mut dyn Member) -> Delivery {
    loop {
        match member.next(1).await {
            MemberEvent::Records(mut records) => return records.remove(0),
            MemberEvent::Error(error) => panic!("{error}"),
            MemberEvent::Assigned(_) | MemberEvent::Revoked(_) | MemberEvent::EndReached(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_by_plain_works_in_every_build() {
    let Some(server) = SecureKafka::start().await else { return };
    let config = config(&server.address(Listener::SaslPlaintext), &login("PLAIN", PASSWORD));
    round_trip(&Kafka::new(&config, "t")).await;
}
