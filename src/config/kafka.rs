//! Connection settings of Kafka, and the names by which a process is known to it.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::Env;
use super::kafka_security::{KafkaTls, Sasl, read_security};
use crate::domain::messages::topics;

/// Connection settings of Kafka.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// Addresses, each `host:port`.
    pub brokers: Vec<String>,
    /// Prefix of every topic's and group's name in the cluster.
    pub prefix: String,
    /// Partitions of topics that `migrate` makes.
    pub partitions: i32,
    /// Replicas of topics that `migrate` makes; -1 is the cluster's default. `None` is 3, or the cluster's default
    /// where it has fewer brokers.
    pub replication_factor: Option<i16>,
    /// Silence after which a member loses its partitions. Heartbeats are sent during long work as well.
    pub session_timeout: Duration,
    /// Topic for consumers of the third source system; `None` if it isn't wanted.
    pub compat_topic: Option<String>,
    /// `None` for connections without encryption.
    pub tls: Option<KafkaTls>,
    /// `None` for connections without a login.
    pub sasl: Option<Sasl>,
}

/// Default session timeout. It is well above the 9 s after which a cluster notices a lost broker
/// (`broker.session.timeout.ms`): a group that has lost its coordinator must find another one before its members count
/// as dead.
const SESSION_TIMEOUT: Duration = Duration::from_secs(20);
const COMPAT_TOPIC: &str = "FILE_EVENTS_COMPAT_TOPIC";
/// Maximum length of a topic's name in Kafka.
const MAX_TOPIC_LEN: usize = 249;
const REPLICATION_FACTOR: &str = "KAFKA_REPLICATION_FACTOR";

/// Names of the variable with the brokers.
pub const BROKERS: [&str; 2] = ["KAFKA_BROKERS", "KAFKA_BROKER"];

impl KafkaConfig {
    /// Tells whether the environment names a Kafka cluster.
    pub fn is_named(env: &Env) -> bool {
        env.is_set(&BROKERS)
    }

    /// Reads the name by which the cluster knows this process.
    pub fn read_client_id(env: &mut Env, default: &str) -> String {
        env.text_or(&["KAFKA_CLIENT_ID"], default)
    }

    /// Reads the name of the consumer group.
    pub fn read_group_id(env: &mut Env, default: &str) -> String {
        env.text_or(&["KAFKA_GROUP_ID"], default)
    }

    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        let listed = env.required(&BROKERS, "host:port, comma separated");
        let brokers = brokers(&listed).unwrap_or_else(|why| {
            env.problem(format!("KAFKA_BROKERS is not a list like kafka-1:9092,kafka-2:9092: {why}"));
            Vec::new()
        });
        let session_timeout =
            env.duration("KAFKA_SESSION_TIMEOUT", SESSION_TIMEOUT, Duration::from_millis(1));
        if !(Duration::from_secs(1)..=Duration::from_mins(30)).contains(&session_timeout) {
            env.problem("KAFKA_SESSION_TIMEOUT must be from 1s to 30m (a bare number is in milliseconds)");
        }
        let prefix = env.text(&["KAFKA_PREFIX"]).unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if prefix.len() > 100 || !prefix.chars().all(allowed) {
            env.problem("KAFKA_PREFIX must be at most 100 of a-z, A-Z, 0-9, '.', '_' and '-'");
        }
        let partitions = env.number(&["KAFKA_PARTITIONS"], 3, 1..=1000);
        let is_replication_set = env.is_set(&[REPLICATION_FACTOR]);
        let replication_factor = env.number(&[REPLICATION_FACTOR], 3, -1..=i16::MAX);
        if replication_factor == 0 {
            env.problem("KAFKA_REPLICATION_FACTOR can't be 0; -1 is the cluster's default");
        }
        let replication_factor = Some(replication_factor).filter(|_| is_replication_set);
        let compat_topic = read_compat_topic(env, &prefix);
        let (tls, sasl) = read_security(env);
        Self { brokers, prefix, partitions, replication_factor, session_timeout, compat_topic, tls, sasl }
    }
}

fn read_compat_topic(env: &mut Env, prefix: &str) -> Option<String> {
    let topic = env.described(COMPAT_TOPIC, "name of a topic, such as file-events")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !topic.chars().all(allowed)
        || prefix.len() + topic.len() > MAX_TOPIC_LEN
        || topic.trim_matches('.').is_empty()
    {
        env.problem(format!(
            "{COMPAT_TOPIC} is no name of a topic: at most 249 of a-z, A-Z, 0-9, '.', '_' and '-'"
        ));
    }
    if topics::ALL.contains(&topic.as_str()) {
        env.problem(format!("{COMPAT_TOPIC} must be another topic than {}", topics::ALL.join(", ")));
    }
    Some(topic)
}

/// Splits a list of brokers, without repetitions and empty items.
fn brokers(listed: &str) -> Result<Vec<String>, String> {
    let mut brokers = Vec::new();
    for (index, broker) in
        listed.split(',').map(str::trim).enumerate().filter(|(_, broker)| !broker.is_empty())
    {
        check_broker(broker).map_err(|why| format!("item {} {why}", index + 1))?;
        if !brokers.iter().any(|known| known == broker) {
            brokers.push(broker.to_owned());
        }
    }
    if brokers.is_empty() && !listed.is_empty() {
        return Err("it names none".to_owned());
    }
    Ok(brokers)
}

fn check_broker(broker: &str) -> Result<(), &'static str> {
    if broker.contains("://") {
        return Err("has a scheme; host and port are all (KAFKA_TLS asks for encryption)");
    }
    let bracketed = broker.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host_is_valid, port) = match bracketed {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest.strip_prefix(':')),
        None if broker.matches(':').count() > 1 => {
            return Err("has several colons; an IPv6 address stands in brackets");
        }
        None => {
            let (host, port) =
                broker.split_once(':').map_or((broker, None), |(host, port)| (host, Some(port)));
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            (!host.is_empty() && host.len() <= 253 && host.chars().all(allowed), port)
        }
    };
    let Some(port) = port else { return Err("has no port") };
    if !host_is_valid {
        return Err("has no host name or address before its port");
    }
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err() {
        return Err("has no port from 1 to 65535");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_hosts_with_ports() {
        for (listed, expected) in [
            ("h:9092", vec!["h:9092"]),
            (" a:1 , b:2,", vec!["a:1", "b:2"]),
            ("a:1,,a:1,b:65535", vec!["a:1", "b:65535"]),
            ("127.0.0.1:9092,[::1]:9092", vec!["127.0.0.1:9092", "[::1]:9092"]),
            ("Kafka_1.internal.:9092", vec!["Kafka_1.internal.:9092"]),
        ] {
            assert_eq!(brokers(listed).unwrap(), expected, "{listed}");
        }
    }

    #[test]
    fn the_compatible_topic_has_a_name_of_its_own() {
        let read = |name: &str| {
            let mut env = Env::of([("KAFKA_BROKERS", "h:1"), (COMPAT_TOPIC, name)]);
            let topic = KafkaConfig::read(&mut env).compat_topic;
            env.finish().map(|()| topic)
        };
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("file-events").unwrap().as_deref(), Some("file-events"));
        for name in ["file events", "a/b", "..", "file.events", "file.create.dlq", &"a".repeat(250)] {
            assert!(read(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_can_not_be_connected_to_is_refused_with_the_reason() {
        for (listed, why) in [
            ("kafka://h:9092", "item 1 has a scheme"),
            ("a:1,PLAINTEXT://h:9092", "item 2 has a scheme"),
            ("h", "has no port"),
            ("h:", "has no port from"),
            ("h:0", "has no port from"),
            ("h:65536", "has no port from"),
            ("h:+9092", "has no port from"),
            ("h:9092/", "has no port from"),
            ("h:90 92", "has no port from"),
            (":9092", "has no host"),
            ("user@h:9092", "has no host"),
            ("a b:9092", "has no host"),
            ("a:1;b:2", "several colons"),
            ("::1:9092", "stands in brackets"),
            ("[::1]", "has no port"),
            ("[h]:9092", "has no host"),
            ("k\u{e4}fka:9092", "has no host"),
            (",", "names none"),
        ] {
            let error = brokers(listed).unwrap_err();
            assert!(error.contains(why), "{listed}: {error}");
        }
    }
}
