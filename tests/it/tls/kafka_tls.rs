//! Both Kafka clients with every security protocol, and their errors when they are refused.

use filesys::broker::kafka::Kafka;
use filesys::broker::{Broker, BrokerError, Member, MemberEvent, TopicSpec};
use filesys::config::KafkaConfig;

use super::kafka::{Settings, config, login, membership, round_trip};
use crate::support::certificates::Authority;
use crate::support::secure_kafka::{Listener, PASSWORD, SecureKafka};
use crate::support::{PATIENCE, eventually, unique, within};

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

fn encrypted(authority: &Authority) -> Settings {
    vec![("KAFKA_TLS_CA", authority.path().to_str().unwrap().to_owned())]
}

/// First error that is about credentials and not about the network.
async fn refusal_of(member: &mut dyn Member) -> String {
    loop {
        if let MemberEvent::Error(BrokerError::Configuration(text)) = member.next(1).await {
            return text;
        }
    }
}

/// Waits for an error of either client that has all of these parts.
async fn both_are_refused(config: &KafkaConfig, because: &[&str]) {
    let kafka = Kafka::new(config, "tls-test");
    // A connection that is closed at once may lose the reason on the way, now and then.
    let publishing = eventually("a refusal", async || match kafka.topics().await {
        Err(BrokerError::Configuration(text)) => Ok(text),
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut member = kafka.join(membership("t")).await.unwrap();
    let consuming = within(PATIENCE, "trouble", refusal_of(&mut *member)).await;
    within(PATIENCE, "leaving", member.leave()).await;
    for said in [publishing, consuming] {
        assert!(because.iter().all(|part| said.contains(part)) && !said.contains('\n'), "{said}");
        assert!(!said.contains(PASSWORD) && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_clients_take_every_way_into_kafka_and_say_why_one_is_closed() {
    let Some(server) = SecureKafka::start().await else { return };
    let tls = encrypted(&server.authority);
    for mechanism in MECHANISMS {
        let login = login(mechanism, PASSWORD);
        round_trip(&Kafka::new(&config(&server.address(Listener::SaslPlaintext), &login), "t")).await;
        let both = [tls.clone(), login].concat();
        round_trip(&Kafka::new(&config(&server.address(Listener::SaslTls), &both), "t")).await;
    }
    round_trip(&Kafka::new(&config(&server.address(Listener::Tls), &tls), "t")).await;

    let dir = tempfile::tempdir().unwrap();
    let identity = |authority: &Authority| {
        let pair = authority.sign(&["a client"]);
        let file = |name: &str, text: &str| {
            let path = dir.path().join(unique(name));
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        vec![
            ("KAFKA_TLS_CERT", file("certificate", &pair.certificate)),
            ("KAFKA_TLS_KEY", file("key", &pair.key)),
        ]
    };
    let known = [tls.clone(), identity(&server.authority)].concat();
    round_trip(&Kafka::new(&config(&server.address(Listener::MutualTls), &known), "t")).await;

    for mechanism in MECHANISMS {
        let wrong = [tls.clone(), login(mechanism, "hunter2")].concat();
        let config = config(&server.address(Listener::SaslTls), &wrong);
        both_are_refused(&config, &["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]).await;
    }
    let other = Authority::new();
    let untrusted = config(&server.address(Listener::Tls), &encrypted(&other));
    both_are_refused(&untrusted, &["certificate", "KAFKA_TLS_CA"]).await;
    let mozilla = config(&server.address(Listener::Tls), &vec![("KAFKA_TLS", "true".to_owned())]);
    both_are_refused(&mozilla, &["certificate", "KAFKA_TLS_CA"]).await;
    let other_name = server.address(Listener::Tls).replace("localhost", "127.0.0.1");
    both_are_refused(&config(&other_name, &tls), &["certificate", "host"]).await;
    let in_the_clear = config(&server.address(Listener::SaslPlaintext), &tls);
    both_are_refused(&in_the_clear, &["KAFKA_TLS is on"]).await;
    for of_client in [Vec::new(), identity(&other)] {
        let unknown = [tls.clone(), of_client].concat();
        let config = config(&server.address(Listener::MutualTls), &unknown);
        both_are_refused(&config, &["KAFKA_TLS_CERT"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_kafka_refused_come_in_once_the_server_has_their_password() {
    let Some(server) = SecureKafka::start().await else { return };
    let settings = [encrypted(&server.authority), login("SCRAM-SHA-256", "another password")].concat();
    let kafka = Kafka::new(&config(&server.address(Listener::SaslTls), &settings), "t");
    let mut member = kafka.join(membership("healed")).await.unwrap();
    within(PATIENCE, "trouble", refusal_of(&mut *member)).await;
    kafka.topics().await.unwrap_err();

    server.set_password("another password").await;
    let spec = TopicSpec { name: "healed".to_owned(), partitions: 1 };
    within(PATIENCE, "making a topic", kafka.ensure_topics(&[spec])).await.unwrap();
    let assigned = async { while !matches!(member.next(1).await, MemberEvent::Assigned(_)) {} };
    within(PATIENCE, "an assignment", assigned).await;
    within(PATIENCE, "leaving", member.leave()).await;
}
