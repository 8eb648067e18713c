//! Members that join, leave, are killed and fall behind, on a real Kafka.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewPartitions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::worker::{Ledger, Worker};
use super::*;
use crate::broker::{MemberEvent, TopicPartition};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records_come_once_each_through_three_members_that_join_on_the_way() {
    let Some(kafka) = kafka() else { return };
    let topic = made_topic(&kafka, 3).await;
    // More than a member's inbox takes, before anybody reads: fetching must pause and go on without a gap.
    publish(&kafka, &topic, numbered(0..5_000)).await;
    let ledger = Ledger::default();
    let mut workers = Vec::new();
    for joined in 1..=3 {
        let pace = Duration::from_millis(5);
        workers.push(Worker::start(&kafka, membership(&topic, &topic), &ledger, pace).await);
        ledger.wait("records", |book| book.handled.len() >= joined * 1_000).await;
    }
    publish(&kafka, &topic, numbered(5_000..10_000)).await;
    ledger.wait("all records", |book| book.handled.len() == 10_000).await;
    ledger.wait("a third each", |book| Ledger::shares(book) == [1, 1, 1]).await;
    assert!(ledger.read(|book| book.handled.values().all(|&times| times == 1)));
    for worker in workers {
        worker.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_handed_out_without_a_break_by_a_member_that_owns_the_only_partition() {
    const RECORDS: usize = 10_000;
    let Some(kafka) = kafka() else { return };
    let topic = made_topic(&kafka, 1).await;
    publish(&kafka, &topic, numbered(0..RECORDS)).await;
    let mut member = kafka.join(membership(&topic, &topic)).await.unwrap();
    let (mut count, mut longest) = (0, Duration::ZERO);
    while count < RECORDS {
        let asked = Instant::now();
        if let MemberEvent::Records(records) = within("the next records", member.next(16)).await {
            if count > 0 {
                longest = longest.max(asked.elapsed());
            }
            count += records.len();
        }
        // As quick as a worker may be, and slower than records are fetched.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(longest < Duration::from_millis(500), "waited {longest:?} for the next of a backlog");
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_leaves_or_is_dropped_hands_over_at_once_and_nothing_is_done_twice() {
    let Some(kafka) = kafka() else { return };
    let topic = made_topic(&kafka, 3).await;
    let ledger = Ledger::default();
    // Silent members would be missed after this long only.
    let session_timeout = Duration::from_secs(40);
    let join = || {
        let membership = Membership { session_timeout, ..membership(&topic, &topic) };
        Worker::start(&kafka, membership, &ledger, Duration::from_millis(1))
    };
    let (first, second, third) = (join().await, join().await, join().await);
    let publishing = async {
        for batch in 0..100 {
            publish(&kafka, &topic, numbered(batch * 20..(batch + 1) * 20)).await;
        }
    };
    let moving = async {
        ledger.wait("a third each", |book| Ledger::shares(book) == [1, 1, 1]).await;
        let began = Instant::now();
        first.leave().await;
        ledger.wait("the others", |book| Ledger::shares(book) == [1, 2]).await;
        let after_leave = began.elapsed();
        let began = Instant::now();
        drop(second.stop().await);
        ledger.wait("the last", |book| Ledger::shares(book) == [3]).await;
        let after_drop = began.elapsed();
        eprintln!("partitions moved {after_leave:?} after a leave, {after_drop:?} after a drop");
        assert!(after_leave.max(after_drop) < session_timeout / 2);
    };
    tokio::join!(publishing, moving);
    ledger.wait("all records", |book| book.handled.len() == 2_000).await;
    assert!(ledger.read(|book| book.handled.values().all(|&times| times == 1)));
    third.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_members_partitions_move_after_the_session_timeout() {
    let Some(kafka) = kafka() else { return };
    let topic = made_topic(&kafka, 3).await;
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("broker::kafka::tests::groups::child_that_is_killed")
        .env("TEST_KAFKA_CHILD", &topic)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let owns_all = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.ends_with("owns 3") {
                return;
            }
        }
        panic!("the child ended");
    };
    within("the child's assignment", owns_all).await;
    within("killing", child.kill()).await.unwrap();

    let killed = Instant::now();
    let ledger = Ledger::default();
    let worker = Worker::start(&kafka, membership(&topic, &topic), &ledger, Duration::ZERO).await;
    ledger.wait("all partitions", |book| Ledger::shares(book) == [3]).await;
    eprintln!("partitions moved {:?} after kill -9", killed.elapsed());
    assert!(killed.elapsed() < 5 * SESSION_TIMEOUT);
    worker.leave().await;
}

#[tokio::test]
#[ignore = "run by another test, as a process of its own"]
async fn child_that_is_killed() {
    let topic = env::var("TEST_KAFKA_CHILD").unwrap();
    let ledger = Ledger::default();
    let _worker = Worker::start(&kafka().unwrap(), membership(&topic, &topic), &ledger, Duration::ZERO).await;
    ledger.wait("all partitions", |book| Ledger::shares(book) == [3]).await;
    eprintln!("\nowns 3");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_partitions_are_used_and_shared_without_a_restart() {
    let Some(kafka) = kafka() else { return };
    let topic = made_topic(&kafka, 3).await;
    let ledger = Ledger::default();
    let join = || Worker::start(&kafka, membership(&topic, &topic), &ledger, Duration::ZERO);
    let workers = [join().await, join().await, join().await];
    ledger.wait("a third each", |book| Ledger::shares(book) == [1, 1, 1]).await;

    let six = [NewPartitions::new(&topic, 6)];
    admin().create_partitions(&six, &AdminOptions::new()).await.unwrap();
    let raised = Instant::now();
    let publishing = async {
        for n in 0.. {
            let positions = publish(&kafka, &topic, numbered(n * 6..(n + 1) * 6)).await;
            if positions.iter().any(|position| position.partition >= 3) {
                return (n + 1) * 6;
            }
        }
        unreachable!()
    };
    let published = within("a record in a new partition", publishing).await;
    eprintln!("published to new partitions after {:?}", raised.elapsed());
    ledger.wait("two of six each", |book| Ledger::shares(book) == [2, 2, 2]).await;
    eprintln!("two of six each after {:?}", raised.elapsed());
    ledger.wait("all records", |book| book.handled.len() == published).await;
    assert!(ledger.read(|book| book.handled.values().all(|&times| times == 1)));
    for worker in workers {
        worker.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_reported_once_and_is_consumed_when_it_appears() {
    let Some(kafka) = kafka() else { return };
    let topic = format!("late-{}", unique());
    let ledger = Ledger::default();
    let worker = Worker::start(&kafka, membership(&topic, &topic), &ledger, Duration::ZERO).await;
    ledger.wait("an error", |book| !book.errors.is_empty()).await;
    assert!(
        ledger.read(|book| matches!(&book.errors[..], [BrokerError::UnknownTopic(name)] if *name == topic))
    );

    let spec = TopicSpec { name: topic.clone(), partitions: 2 };
    within("making it", kafka.ensure_topics(&[spec])).await.unwrap();
    publish(&kafka, &topic, numbered(0..10)).await;
    ledger.wait("its records", |book| book.handled.len() == 10).await;
    worker.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_a_member_owns_is_committed() {
    let Some(kafka) = kafka() else { return };
    let topic = made_topic(&kafka, 1).await;
    let member = kafka.join(membership(&topic, &topic)).await.unwrap();
    let next = Position { topic: topic.as_str().into(), partition: 0, offset: 0 };
    // Before the assignment.
    let outcome = within("committing", member.commit(vec![next])).await;
    assert!(matches!(outcome, Err(BrokerError::Unavailable(_))), "{outcome:?}");
    within("leaving", member.leave()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_can_commit_what_it_owns_at_any_moment_of_a_rebalance() {
    let Some(kafka) = kafka() else { return };
    let topic = made_topic(&kafka, 3).await;
    let mut member = kafka.join(membership(&topic, &topic)).await.unwrap();
    let mut owned = BTreeSet::new();
    let mut commits = 0;
    let committing = async {
        loop {
            match tokio::time::timeout(Duration::from_millis(1), member.next(1)).await {
                Ok(MemberEvent::Assigned(partitions)) => owned.extend(partitions),
                Ok(MemberEvent::Revoked(revocation)) => {
                    owned.retain(|at| !revocation.partitions.contains(at));
                }
                Ok(MemberEvent::Records(_) | MemberEvent::EndReached(_) | MemberEvent::Error(_)) | Err(_) => {
                }
            }
            let next = owned.iter().map(|at: &TopicPartition| Position {
                topic: Arc::clone(&at.topic),
                partition: at.partition,
                offset: 0,
            });
            within("committing", member.commit(next.collect())).await.unwrap();
            commits += owned.len();
        }
    };
    let others = async {
        for _ in 0..8 {
            let ledger = Ledger::default();
            let other = Worker::start(&kafka, membership(&topic, &topic), &ledger, Duration::ZERO).await;
            ledger.wait("a partition", |book| Ledger::shares(book) != [0]).await;
            other.leave().await;
        }
    };
    tokio::select! {
        () = committing => {}
        () = others => {}
    }
    assert!(commits > 100, "{commits}");
    within("leaving", member.leave()).await;
}
