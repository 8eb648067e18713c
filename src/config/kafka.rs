//! Where Kafka is, and how we are known to it.

use std::time::Duration;

use super::Env;
use super::kafka_security::{KafkaTls, Sasl, read_security};

#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `host:port` each.
    pub brokers: Vec<String>,
    /// Before every topic's and group's name in the cluster.
    pub prefix: String,
    /// Of topics that `migrate` makes.
    pub partitions: i32,
    /// Of topics that `migrate` makes; -1 is the cluster's default. `None`: 3, or the cluster's default where it has fewer
    /// brokers.
    pub replication_factor: Option<i16>,
    /// A member that is silent for this long loses its partitions. Long jobs don't make it silent.
    pub session_timeout: Duration,
    /// `None`: in the clear.
    pub tls: Option<KafkaTls>,
    /// `None`: nobody in particular.
    pub sasl: Option<Sasl>,
}

/// Well above the 9 s after which a cluster misses a broker (`broker.session.timeout.ms`): a group whose coordinator is lost
/// must find another before its members are taken for dead.
const SESSION_TIMEOUT: Duration = Duration::from_secs(20);
const REPLICATION_FACTOR: &str = "KAFKA_REPLICATION_FACTOR";

pub const BROKERS: [&str; 2] = ["KAFKA_BROKERS", "KAFKA_BROKER"];

impl KafkaConfig {
    pub fn is_named(env: &Env) -> bool {
        env.is_set(&BROKERS)
    }

    /// How the cluster sees this process.
    pub fn read_client_id(env: &mut Env, default: &str) -> String {
        env.text_or(&["KAFKA_CLIENT_ID"], default)
    }

    pub fn read_group_id(env: &mut Env, default: &str) -> String {
        env.text_or(&["KAFKA_GROUP_ID"], default)
    }

    pub fn read(env: &mut Env) -> Self {
        let brokers: Vec<String> = env
            .required(&BROKERS, "host:port, comma separated")
            .split(',')
            .map(|broker| broker.trim().to_owned())
            .filter(|broker| !broker.is_empty())
            .collect();
        let well_formed = |broker: &String| {
            broker
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if !brokers.iter().all(well_formed) {
            env.problem("KAFKA_BROKERS is not a list like kafka-1:9092,kafka-2:9092");
        }
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
        let (tls, sasl) = read_security(env);
        Self { brokers, prefix, partitions, replication_factor, session_timeout, tls, sasl }
    }
}
