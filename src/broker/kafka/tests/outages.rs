//! Brokers that are unreachable, silent, killed and restarted.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::process::Command;

use super::worker::{Book, Ledger, Worker};
use super::*;
use crate::port::Ports;

/// Time limit of quick steps on a loaded machine; far below what they would take without the time limits under test.
const SOON: Duration = Duration::from_secs(20);

async fn every_call_says_unavailable(kafka: &Kafka) {
    let from = Position { topic: "t".into(), partition: 0, offset: 0 };
    let specs = [TopicSpec { name: "t".to_owned(), partitions: 1 }];
    let began = Instant::now();
    let (published, read, watermarks, topics, made) = tokio::join!(
        kafka.publish("t", numbered(0..2)),
        kafka.read(&from, 1),
        kafka.watermarks("t"),
        kafka.topics(),
        kafka.ensure_topics(&specs),
    );
    let errors = [
        published[0].as_ref().err(),
        published[1].as_ref().err(),
        read.as_ref().err(),
        watermarks.as_ref().err(),
        topics.as_ref().err(),
        made.as_ref().err(),
    ];
    for error in errors {
        assert!(matches!(error, Some(BrokerError::Unavailable(_))), "{error:?}");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn calls_end_in_time_while_no_broker_listens() {
    let ports = Ports::reserve();
    let kafka = kafka_at(&format!("127.0.0.1:{}", ports.first));
    every_call_says_unavailable(&kafka).await;
}

#[tokio::test]
async fn calls_end_in_time_while_the_broker_accepts_and_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kafka = kafka_at(&listener.local_addr().unwrap().to_string());
    every_call_says_unavailable(&kafka).await;
}

#[tokio::test]
async fn a_member_waits_for_unreachable_brokers_reports_them_once_and_leaves_at_once() {
    let ports = Ports::reserve();
    let kafka = kafka_at(&format!("127.0.0.1:{}", ports.first));
    let ledger = Ledger::default();
    let worker = Worker::start(&kafka, membership("g", "t"), &ledger, Duration::ZERO).await;
    ledger.wait("an error", |book| !book.errors.is_empty()).await;
    // Several attempts to connect later.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(
        ledger.read(|book| matches!(&book.errors[..], [BrokerError::Unavailable(_)])),
        "{:?}",
        ledger.read(|book| book.errors.clone())
    );
    let began = Instant::now();
    worker.leave().await;
    assert!(began.elapsed() < limits::LEAVE_TIMEOUT, "{:?}", began.elapsed());
}

/// A broker of the test's own, in a folder of its own.
struct OwnKafka {
    script: PathBuf,
    folder: tempfile::TempDir,
    address: String,
    /// Reserved while it is down.
    ports: Ports,
}

impl OwnKafka {
    async fn start() -> Option<Self> {
        let Ok(script) = env::var("TEST_KAFKA_SCRIPT") else {
            not_run("TEST_KAFKA_SCRIPT is not set to scripts/kafka");
            return None;
        };
        let mut kafka = Self {
            script: script.into(),
            folder: tempfile::tempdir().unwrap(),
            address: String::new(),
            ports: Ports::reserve(),
        };
        kafka.address = kafka.run(&["start", "--port", &kafka.ports.first.to_string()]).await;
        Some(kafka)
    }

    async fn start_again(&self) {
        self.run(&["start"]).await;
    }

    async fn run(&self, args: &[&str]) -> String {
        let output = Self::command(&self.script, self.folder.path()).args(args).output();
        // The script has a shorter time limit of its own.
        let output = tokio::time::timeout(2 * STEP_TIMEOUT, output).await.unwrap().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn command(script: &Path, folder: &Path) -> Command {
        let mut command = Command::new(script);
        command.env("FILESYS_SERVICES_DIR", folder);
        command
    }
}

impl Drop for OwnKafka {
    fn drop(&mut self) {
        let mut stop = Self::command(&self.script, self.folder.path());
        let _ = stop.as_std_mut().arg("kill").status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_shorter_than_the_session_timeout_costs_no_partition() {
    let Some(own) = OwnKafka::start().await else {
        return;
    };
    // A busy machine may take half a minute to start the broker again.
    let session_timeout = Duration::from_mins(5);
    let consumed = heals_after_a_kill(&own, session_timeout, Duration::ZERO).await;
    assert!(consumed < SOON, "{consumed:?}");
}

/// The members lose everything, and the restarted broker waits a session timeout for those that it remembers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_longer_outage_heals_within_a_session_timeout() {
    let Some(own) = OwnKafka::start().await else {
        return;
    };
    let consumed = heals_after_a_kill(&own, SESSION_TIMEOUT, SESSION_TIMEOUT).await;
    assert!(consumed < SESSION_TIMEOUT + SOON, "{consumed:?}");
}

/// Returns how long after the broker's restart the records published then were consumed.
async fn heals_after_a_kill(own: &OwnKafka, session_timeout: Duration, outage: Duration) -> Duration {
    let kafka = kafka_at(&own.address);
    let topic = made_topic(&kafka, 3).await;
    let ledger = Ledger::default();
    let join = || {
        let membership = Membership { session_timeout, ..membership(&topic, &topic) };
        Worker::start(&kafka, membership, &ledger, Duration::ZERO)
    };
    let workers = [join().await, join().await];
    publish(&kafka, &topic, numbered(0..10)).await;
    // Also until the second worker has its share: on a slow machine the first handles everything before.
    let settled = |book: &Book| book.handled.len() == 10 && Ledger::shares(book) == [1, 2];
    ledger.wait("records and shares", settled).await;
    let shares = ledger.read(|book| book.owned.clone());

    own.run(&["kill"]).await;
    let killed = Instant::now();
    let outcomes = within("publishing", kafka.publish(&topic, numbered(10..20))).await;
    let is_unavailable = |outcome| matches!(outcome, Err(BrokerError::Unavailable(_)));
    assert!(outcomes.into_iter().all(is_unavailable));
    eprintln!("publishing failed after {:?}", killed.elapsed());
    tokio::time::sleep(outage).await;
    own.start_again().await;

    let (back, outage) = (Instant::now(), killed.elapsed());
    let publishing =
        async { while !kafka.publish(&topic, numbered(10..20)).await.iter().all(Result::is_ok) {} };
    within("publishing again", publishing).await;
    let published = back.elapsed();
    assert!(published < SOON, "{published:?}");
    ledger.wait("new records", |book| book.handled.len() == 20).await;
    let consumed = back.elapsed();
    eprintln!(
        "after an outage of {outage:?} published {published:?}, consumed {consumed:?} after the restart"
    );

    let (errors, owned) = ledger.read(|book| (book.errors.clone(), book.owned.clone()));
    assert!(errors.len() <= 2 * workers.len(), "{errors:?}");
    assert!(outage > session_timeout || owned == shares);
    for worker in workers {
        worker.leave().await;
    }
    consumed
}
