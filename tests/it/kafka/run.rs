//! `serve` and `worker` as processes on the Apache Kafka that `TEST_KAFKA_BROKERS` names.

use std::time::Duration;

use filesys::broker::kafka::Kafka;

use crate::support::process::Process;
use crate::support::{Api, Ground, SharedKafka, eventually, not_run};

/// Time limit of waits: a killed member's partitions are reassigned after its session timeout, and a cold broker is slow.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Data of one run, and a client of its topics.
pub struct Run {
    pub ground: Ground,
    pub kafka: Kafka,
}

impl Run {
    /// Prepares a run; `None` without `TEST_KAFKA_BROKERS`, which is reported as not run.
    pub async fn new() -> Option<Self> {
        let ground = Ground::new().await;
        let kafka = ground.kafka.as_ref().map(SharedKafka::client);
        if kafka.is_none() {
            not_run("TEST_KAFKA_BROKERS is not set");
        }
        Some(Self { kafka: kafka?, ground })
    }

    pub fn spawn(&self, args: &[&str], name: &str, settings: &[(&str, &str)]) -> Process {
        let log = self.ground.log().with_file_name(format!("{name}.log"));
        Process::spawn(args, &self.ground.env(settings), &log)
    }

    /// Answers when this returns.
    pub async fn serve(&self, name: &str) -> (Process, Api) {
        self.serve_with(name, &[]).await
    }

    pub async fn serve_with(&self, name: &str, settings: &[(&str, &str)]) -> (Process, Api) {
        let process = self.spawn(&["serve"], name, settings);
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
        self.spawn(&["worker", "--replicas", "2"], name, &slowly)
    }
}
