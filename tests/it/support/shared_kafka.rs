//! The Kafka that `TEST_KAFKA_BROKERS` names, on which each test has topics and groups of its own.

use std::time::Duration;

use filesys::broker::kafka::Kafka;
use filesys::config::{Env, KafkaConfig};
use filesys::domain::messages::topics;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use super::{services, unique};

/// The shortest that brokers allow by default: a killed member is missed for so long.
const SESSION_TIMEOUT: &str = "6s";

/// Names of its own in the cluster. Dropping it deletes the topics.
pub struct SharedKafka {
    brokers: String,
    prefix: String,
}

impl SharedKafka {
    /// `None` where the environment names no Kafka.
    pub fn named() -> Option<Self> {
        let brokers = std::env::var("TEST_KAFKA_BROKERS").ok()?;
        Some(Self { brokers, prefix: format!("{}.", unique("it-")) })
    }

    /// Settings for a process that is to use it.
    pub fn settings(&self) -> [(&str, &str); 3] {
        [
            ("KAFKA_BROKERS", &self.brokers),
            ("KAFKA_PREFIX", &self.prefix),
            ("KAFKA_SESSION_TIMEOUT", SESSION_TIMEOUT),
        ]
    }

    /// Makes a client as the product uses it.
    pub fn client(&self) -> Kafka {
        let mut env = Env::of(self.settings());
        let config = KafkaConfig::read(&mut env);
        env.finish().unwrap();
        Kafka::new(&config, "filesys-it")
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The topic's or group's name there.
    pub fn in_cluster(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn librdkafka(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }
}

impl Drop for SharedKafka {
    fn drop(&mut self) {
        let admin: AdminClient<DefaultClientContext> = self.librdkafka().create().unwrap();
        let topics = topics::ALL.map(|topic| self.in_cluster(topic));
        services::finish(async move {
            let topics = topics.each_ref().map(String::as_str);
            let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
            // One that was never made is missing; what a broken cluster keeps costs disk only.
            let _ = admin.delete_topics(&topics, &options).await;
        });
    }
}
