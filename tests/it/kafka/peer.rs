//! Client by another library at the other end of the topics (`tests/interop`): kafkajs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use filesys::domain::FileId;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::run::{PATIENCE, Run};
use crate::support::process::STOP_LIMIT;
use crate::support::{not_run, within};

/// Process that reads one topic in its own group and writes to another. Dropping it kills it.
pub struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Lines that it prints, read at once: a full pipe would block it.
    lines: UnboundedReceiver<String>,
    log: PathBuf,
}

/// Record as it prints it.
#[derive(Debug)]
pub struct Received {
    pub key: Value,
    pub headers: Value,
    pub value: Value,
}

impl Peer {
    /// Starts it; `None` where it isn't installed, which is reported as not run.
    pub async fn start(run: &Run, reads: &str, writes: &str) -> Option<Self> {
        let status =
            within(PATIENCE, "scripts/interop status", program().arg("status").output()).await.unwrap();
        if !status.status.success() {
            not_run(String::from_utf8_lossy(&status.stderr).trim());
            return None;
        }
        let kafka = run.ground.kafka.as_ref().expect("a run has its Kafka");
        let log = run.ground.log().with_file_name("peer.log");
        let mut child = program()
            .args([
                "run",
                kafka.brokers(),
                &kafka.in_cluster("peer"),
                &kafka.in_cluster(reads),
                &kafka.in_cluster(writes),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let (printed, lines) = unbounded_channel();
        // Ends with the peer.
        tokio::spawn(async move {
            while let Ok(Some(line)) = stdout.next_line().await {
                if printed.send(line).is_err() {
                    return;
                }
            }
        });
        Some(Self { stdin: child.stdin.take(), child, lines, log })
    }

    /// Publishes a value, without key or headers.
    pub async fn send(&mut self, value: &Value) {
        let stdin = self.stdin.as_mut().unwrap();
        within(PATIENCE, "telling the peer", stdin.write_all(format!("{value}\n").as_bytes())).await.unwrap();
    }

    /// Next record about this file; others are skipped.
    pub async fn receive(&mut self, file: FileId) -> Received {
        let ours = async {
            loop {
                let line = self.lines.recv().await.expect("the peer ended");
                let mut record: Value = serde_json::from_str(&line).unwrap();
                // Others put what is no JSON on the topic.
                let value = record["value"].as_str().and_then(|text| serde_json::from_str(text).ok());
                let value: Value = value.unwrap_or_default();
                if value["fileId"] == file.0 {
                    return Received { key: record["key"].take(), headers: record["headers"].take(), value };
                }
            }
        };
        within(PATIENCE, "a record received by the peer", ours).await
    }

    /// Stops it gracefully, so that it leaves its group.
    pub async fn stop(mut self) {
        drop(self.stdin.take());
        let status = within(STOP_LIMIT * 2, "the peer's end", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

fn program() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/interop"))
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- log of the peer\n{}----", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}
