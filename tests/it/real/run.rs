//! `serve` and `worker` as processes of their own on the Apache Kafka that `TEST_KAFKA_BROKERS` names.
//!
//! Topics have fixed names, so one cluster may hold the records of other runs. Every run therefore has consumer groups
//! of its own and ids that no other run has: a foreign request is made into this run's bucket and its result put
//! aside, a foreign result is put aside, and neither touches a file of this run.

use std::time::Duration;

use filesys::broker::kafka::Kafka;
use filesys::config::{Env, KafkaConfig};
use filesys::domain::FileId;
use uuid::Uuid;

use crate::support::process::Process;
use crate::support::{Api, Ground, eventually, not_run, unique};

/// A killed member's partitions are given to others after the session timeout, and a cold broker takes its time.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The shortest that brokers allow.
const SESSION_TIMEOUT: &str = "6s";

/// One run: its data, its groups, and a client of the cluster.
pub struct Run {
    pub ground: Ground,
    pub brokers: String,
    pub kafka: Kafka,
    /// The id of its first file.
    pub first_id: FileId,
    serve_group: String,
    worker_group: String,
}

impl Run {
    /// `None`, said on stderr, where no Kafka was named.
    pub async fn new() -> Option<Self> {
        let Ok(brokers) = std::env::var("TEST_KAFKA_BROKERS") else {
            not_run("TEST_KAFKA_BROKERS is not set");
            return None;
        };
        let config = KafkaConfig::read(&mut Env::of([("KAFKA_BROKERS", brokers.as_str())]));
        let ground = Ground::new().await;
        // Below 2^53, so still exact as a JSON number.
        let first_id = i64::try_from(Uuid::new_v4().as_u64_pair().0 >> 12).unwrap();
        let sql = format!("ALTER SEQUENCE files_id_seq RESTART WITH {first_id}");
        ground.database.connect().await.batch_execute(&sql).await.unwrap();
        Some(Self {
            ground,
            brokers,
            kafka: Kafka::new(&config, "filesys-it"),
            first_id: FileId(first_id),
            serve_group: unique("it-serve-"),
            worker_group: unique("it-worker-"),
        })
    }

    fn spawn(&self, args: &[&str], name: &str, group: &str, more: &[(&str, &str)]) -> Process {
        let kafka = [
            ("KAFKA_BROKERS", self.brokers.as_str()),
            ("KAFKA_GROUP_ID", group),
            ("KAFKA_SESSION_TIMEOUT", SESSION_TIMEOUT),
        ];
        let env = self.ground.env(&[&kafka, more].concat());
        Process::spawn(args, &env, &self.ground.log().with_file_name(format!("{name}.log")))
    }

    /// Answers when this returns.
    pub async fn serve(&self, name: &str) -> (Process, Api) {
        let process = self.spawn(&["serve"], name, &self.serve_group, &[]);
        let address = eventually("serve listens", async || {
            let log = process.log();
            let address =
                log.split_once("listening address=").and_then(|(_, rest)| rest.split_whitespace().next());
            address.map(str::to_owned).ok_or(log)
        })
        .await;
        (process, Api::at(&format!("http://{address}")))
    }

    pub fn worker(&self, name: &str) -> Process {
        let slowly = [("PROCESSING_DELAY_MS", "50"), ("WORKER_CONCURRENCY", "4")];
        self.spawn(&["worker", "--replicas", "2"], name, &self.worker_group, &slowly)
    }
}
