//! The roles as separate processes on one database, bucket and Kafka.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::process::Process;
use super::{Api, Ground, eventually};

/// Processes, each with its own log file.
pub struct Processes {
    pub ground: Ground,
    brokers: String,
    prefix: String,
    started: AtomicUsize,
}

impl Processes {
    /// Starts without a prefix of topics and groups if `prefix` is empty.
    pub async fn new(brokers: &str, prefix: &str) -> Self {
        Self {
            ground: Ground::new().await,
            brokers: brokers.to_owned(),
            prefix: prefix.to_owned(),
            started: AtomicUsize::new(0),
        }
    }

    pub fn spawn(&self, args: &[&str], settings: &[(&str, &str)]) -> Process {
        let kafka = [("KAFKA_BROKERS", self.brokers.as_str()), ("KAFKA_PREFIX", &self.prefix)];
        let name = format!("{}-{}.log", args[0], self.started.fetch_add(1, Ordering::Relaxed));
        let env = self.ground.env(&[&kafka, settings].concat());
        Process::spawn(args, &env, &self.ground.log().with_file_name(name))
    }

    /// Starts `serve`; it answers when this returns, and topics and bucket exist.
    pub async fn serve(&self, settings: &[(&str, &str)]) -> (Process, Api) {
        let process = self.spawn(&["serve"], settings);
        let address = eventually("serve listens and everything is there", async || {
            let log = process.log();
            let address =
                log.split_once("listening address=").and_then(|(_, rest)| rest.split_whitespace().next());
            match address.filter(|_| log.contains("topics and bucket exist")) {
                Some(address) => Ok(address.to_owned()),
                None => Err(log),
            }
        })
        .await;
        (process, Api::at(&format!("http://{address}")))
    }

    pub fn worker(&self, replicas: usize, settings: &[(&str, &str)]) -> Process {
        self.spawn(&["worker", "--replicas", &replicas.to_string()], settings)
    }
}
