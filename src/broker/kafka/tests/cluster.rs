//! Coordinators that move and refuse, brokers that are slow or silent, on librdkafka's own mock of a cluster.

use std::time::{Duration, Instant};

use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::worker::{Book, Ledger, Worker};
use super::*;
use crate::broker::MemberEvent;

const BROKERS: i32 = 3;
const PARTITIONS: i32 = 3;
const TOPIC: &str = "topic";
const GROUP: &str = "group";

/// Time that a call may take beyond its own limit, on a loaded machine.
const SLACK: Duration = Duration::from_secs(10);
/// Time in which records come again once brokers answer: the client notices a dead connection within 10 s.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(20);

/// Mock cluster of three brokers in this process. It supports the calls of consumer groups only.
struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    kafka: Kafka,
    producer: ThreadedProducer<DefaultProducerContext>,
    published: usize,
}

impl Mock {
    fn start() -> Self {
        let cluster = MockCluster::new(BROKERS).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, BROKERS).unwrap();
        let brokers = cluster.bootstrap_servers();
        let producer = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
        Self { cluster, kafka: kafka_at(&brokers), producer, published: 0 }
    }

    /// Publishes to the partitions in turn; every value is another number.
    fn publish(&mut self, partitions: &[i32]) {
        for partition in partitions.iter().cycle().take(30) {
            let value = self.published.to_string();
            let record = BaseRecord::<(), str>::to(TOPIC).partition(*partition).payload(&value);
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
            self.published += 1;
        }
        self.producer.flush(STEP_TIMEOUT).unwrap();
    }

    async fn are_handled(&self, what: &str, ledger: &Ledger) {
        ledger.wait(what, |book| book.handled.len() == self.published).await;
    }

    async fn worker(&self, ledger: &Ledger) -> Worker {
        Worker::start(&self.kafka, membership(GROUP, TOPIC), ledger, Duration::ZERO).await
    }

    /// Joins a member that owns every partition.
    async fn member(&self) -> Box<dyn Member> {
        let mut member = self.kafka.join(membership(GROUP, TOPIC)).await.unwrap();
        let assigned = async {
            while !matches!(member.next(0).await, MemberEvent::Assigned(partitions) if partitions.len() == 3)
            {
            }
        };
        within("the assignment", assigned).await;
        member
    }

    /// Delays each answer of each broker.
    fn slow_down(&self, by: Duration) {
        (1..=BROKERS).for_each(|broker| self.cluster.broker_round_trip_time(broker, by).unwrap());
    }

    fn move_coordinator(&self, to: i32) {
        self.cluster.coordinator(MockCoordinator::Group(GROUP.to_owned()), to).unwrap();
    }
}

fn next_of_all() -> Vec<Position> {
    (0..PARTITIONS).map(|partition| Position { topic: TOPIC.into(), partition, offset: 0 }).collect()
}

/// Commits, and asserts that the outcome comes in time.
async fn commit(member: &dyn Member) -> Result<(), BrokerError> {
    let began = Instant::now();
    let outcome = member.commit(next_of_all()).await;
    assert!(began.elapsed() < limits::COMMIT_TIMEOUT + SLACK, "{outcome:?} after {:?}", began.elapsed());
    assert!(matches!(outcome, Ok(()) | Err(BrokerError::Unavailable(_))), "{outcome:?}");
    outcome
}

async fn commits_in_the_end(member: &dyn Member) -> Duration {
    let began = Instant::now();
    let commits = async { while commit(member).await.is_err() {} };
    within("a commit", commits).await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_on_while_its_coordinator_moves_and_refuses() {
    let mut mock = Mock::start();
    let ledger = Ledger::default();
    let mut workers = vec![mock.worker(&ledger).await];
    ledger.wait("all partitions", |book| Ledger::shares(book) == [3]).await;
    let refusals = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    ];
    for round in 1..=BROKERS {
        mock.move_coordinator(round);
        mock.cluster.request_errors(RDKafkaApiKey::Heartbeat, &refusals);
        mock.cluster.request_errors(RDKafkaApiKey::JoinGroup, &refusals);
        mock.cluster.request_errors(
            RDKafkaApiKey::FindCoordinator,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE],
        );
        workers.push(mock.worker(&ledger).await);
        let shares = |book: &Book| Ledger::shares(book).iter().sum::<usize>() == 3;
        mock.publish(&[0, 1, 2]);
        ledger.wait("every partition", shares).await;
        mock.are_handled("records behind a refusal", &ledger).await;
    }
    for worker in workers {
        worker.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_ends_in_time_whatever_the_coordinator_says() {
    let mock = Mock::start();
    let member = mock.member().await;
    for refusal in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
    ] {
        mock.cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[refusal; 3]);
        let after = commits_in_the_end(&*member).await;
        eprintln!("committed {after:?} after the first of three times {refusal:?}");
    }
    for broker in 1..=BROKERS {
        mock.move_coordinator(broker);
        commits_in_the_end(&*member).await;
    }
    within("leaving", member.leave()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_slow_are_waited_for_and_silent_ones_for_a_while() {
    let mut mock = Mock::start();
    mock.slow_down(Duration::from_millis(300));
    let member = mock.member().await;
    commit(&*member).await.expect("slow is not unreachable");
    mock.slow_down(Duration::from_hours(1));
    commit(&*member).await.expect_err("nobody answers");
    let leaving = Instant::now();
    member.leave().await;
    assert!(leaving.elapsed() < limits::LEAVE_TIMEOUT + SLACK, "{:?}", leaving.elapsed());

    mock.slow_down(Duration::ZERO);
    let ledger = Ledger::default();
    let worker = mock.worker(&ledger).await;
    mock.publish(&[0, 1, 2]);
    mock.are_handled("records of the first member that is answered", &ledger).await;
    mock.slow_down(Duration::from_hours(1));
    // It is in the middle of a fetch, and of whatever its group asks for.
    tokio::time::sleep(SESSION_TIMEOUT / 3).await;
    mock.slow_down(Duration::ZERO);
    let back = Instant::now();
    mock.publish(&[0, 1, 2]);
    mock.are_handled("records after the silence", &ledger).await;
    eprintln!("records come again {:?} after the silence", back.elapsed());
    assert!(back.elapsed() < RECOVERY_TIMEOUT, "{:?}", back.elapsed());
    worker.leave().await;
}
