//! Behaviour of the local broker beyond the conformance tests: fencing, bounded memory, the time limit of a revocation,
//! topics made late.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::LocalBroker;
use crate::broker::{
    Broker, BrokerError, Delivery, Member, MemberEvent, Membership, Position, Record, Revocation,
    TopicPartition, TopicSpec, Watermarks,
};

async fn broker(partitions: i32) -> LocalBroker {
    let broker = LocalBroker::default();
    make(&broker, "t", partitions).await;
    broker
}

async fn make(broker: &LocalBroker, name: &str, partitions: i32) {
    let name = name.to_owned();
    broker.ensure_topics(&[TopicSpec { name, partitions }]).await.unwrap();
}

async fn join(broker: &LocalBroker, group: &str, session_timeout: Duration) -> Box<dyn Member> {
    let membership = Membership {
        group: group.to_owned(),
        client_id: "test".to_owned(),
        topics: vec!["t".to_owned()],
        session_timeout,
    };
    broker.join(membership).await.unwrap()
}

const LONG: Duration = Duration::from_mins(1);

fn record(bytes: usize) -> Record {
    Record { value: Some(Bytes::from(vec![b'x'; bytes])), ..Record::default() }
}

fn next_offset(partition: i32, offset: i64) -> Position {
    Position { topic: "t".into(), partition, offset }
}

async fn event(member: &mut Box<dyn Member>, limit: usize) -> MemberEvent {
    tokio::time::timeout(LONG, member.next(limit)).await.unwrap()
}

async fn assigned(member: &mut Box<dyn Member>) -> Vec<i32> {
    let event = event(member, 0).await;
    let MemberEvent::Assigned(partitions) = event else { panic!("{event:?}") };
    numbers(&partitions)
}

async fn revoked(member: &mut Box<dyn Member>) -> Revocation {
    let event = event(member, 0).await;
    let MemberEvent::Revoked(revocation) = event else { panic!("{event:?}") };
    revocation
}

async fn records(member: &mut Box<dyn Member>, limit: usize) -> Vec<Delivery> {
    let event = event(member, limit).await;
    let MemberEvent::Records(records) = event else { panic!("{event:?}") };
    records
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|at| at.partition).collect()
}

async fn watermarks(broker: &LocalBroker) -> Vec<(i64, i64)> {
    let watermarks = broker.watermarks("t").await.unwrap().into_iter();
    watermarks.map(|Watermarks { low, high, .. }| (low, high)).collect()
}

#[tokio::test]
async fn only_the_partitions_that_must_move_are_revoked() {
    let broker = broker(3).await;
    let mut first = join(&broker, "g", LONG).await;
    assert_eq!(assigned(&mut first).await, [0, 1, 2]);
    let mut second = join(&broker, "g", LONG).await;
    let revocation = revoked(&mut first).await;
    assert_eq!(numbers(&revocation.partitions), [2]);
    revocation.reply.send(vec![]).unwrap();
    assert_eq!(assigned(&mut second).await, [2]);
    let mut third = join(&broker, "g", LONG).await;
    let revocation = revoked(&mut first).await;
    assert_eq!(numbers(&revocation.partitions), [1]);
    drop(revocation);
    assert_eq!(assigned(&mut third).await, [1]);
    let mut fourth = join(&broker, "g", LONG).await;
    for member in [&mut first, &mut second, &mut third, &mut fourth] {
        assert!(member.next(1).now_or_never().is_none(), "nothing moves for the fourth");
    }
    third.leave().await;
    assert_eq!(assigned(&mut fourth).await, [1]);
}

#[tokio::test]
async fn a_waiting_member_is_woken_when_partitions_are_to_change_hands() {
    let broker = LocalBroker::default();
    let mut first = join(&broker, "g", LONG).await;
    event(&mut first, 0).await;
    // Polled in this order: waiting comes first.
    let (partitions, ()) = tokio::join!(biased; assigned(&mut first), make(&broker, "t", 2));
    assert_eq!(partitions, [0, 1], "a topic is made");
    let (revocation, mut second) = tokio::join!(biased; revoked(&mut first), join(&broker, "g", LONG));
    assert_eq!(numbers(&revocation.partitions), [1], "a member joins");
    let (partitions, _) =
        tokio::join!(biased; assigned(&mut second), async { revocation.reply.send(vec![]) });
    assert_eq!(partitions, [1], "a revocation is replied to");
    let (partitions, ()) = tokio::join!(biased; assigned(&mut second), first.leave());
    assert_eq!(partitions, [0], "a member leaves");
}

#[tokio::test]
async fn a_commit_by_a_member_that_lost_the_partition_is_refused() {
    let broker = broker(2).await;
    broker.publish("t", (0..8).map(|_| record(1)).collect()).await;
    let mut first = join(&broker, "g", LONG).await;
    assigned(&mut first).await;
    let mut second = join(&broker, "g", LONG).await;
    assert!(second.commit(vec![next_offset(1, 4)]).await.is_err(), "not yet");
    let revocation = revoked(&mut first).await;
    first.commit(vec![next_offset(1, 1)]).await.unwrap();
    revocation.reply.send(vec![next_offset(1, 2)]).unwrap();
    assert_eq!(assigned(&mut second).await, [1]);

    let late = first.commit(vec![next_offset(0, 3), next_offset(1, 4)]).await;
    assert!(matches!(late, Err(BrokerError::Rejected(_))), "{late:?}");
    assert_eq!(records(&mut second, 9).await[0].position, next_offset(1, 2));
    assert_eq!(watermarks(&broker).await, [(3, 4), (2, 4)], "its own partition's commit counts");
}

#[tokio::test]
async fn a_revocation_that_is_not_replied_to_ends_with_the_session_timeout() {
    let broker = broker(2).await;
    let mut first = join(&broker, "g", Duration::from_secs(1)).await;
    assigned(&mut first).await;
    let mut second = join(&broker, "g", LONG).await;
    let revocation = revoked(&mut first).await;
    assert!(second.next(0).now_or_never().is_none());
    assert_eq!(assigned(&mut second).await, [1]);
    assert!(revocation.reply.send(vec![next_offset(1, 1)]).is_err(), "too late");
    assert!(first.commit(vec![next_offset(1, 1)]).await.is_err());
    first.commit(vec![next_offset(0, 0)]).await.unwrap();
}

#[tokio::test]
async fn a_partition_can_come_back_to_the_member_that_gives_it_up() {
    let broker = broker(2).await;
    broker.publish("t", (0..4).map(|_| record(1)).collect()).await;
    let mut first = join(&broker, "g", LONG).await;
    assigned(&mut first).await;
    assert_eq!(records(&mut first, 9).await.len(), 4);
    let second = join(&broker, "g", LONG).await;
    let revocation = revoked(&mut first).await;
    drop(second);
    assert!(first.next(9).now_or_never().is_none(), "not before the reply");
    revocation.reply.send(vec![next_offset(1, 1)]).unwrap();
    assert_eq!(assigned(&mut first).await, [1]);
    assert_eq!(records(&mut first, 9).await[0].position, next_offset(1, 1));
}

#[tokio::test]
async fn records_below_every_groups_commit_are_dropped() {
    let broker = broker(1).await;
    let mut one = join(&broker, "one", LONG).await;
    let mut other = join(&broker, "other", LONG).await;
    broker.publish("t", (0..20_000).map(|_| record(1)).collect()).await;
    assert_eq!(watermarks(&broker).await, [(0, 20_000)], "groups need them all");
    assigned(&mut one).await;
    assigned(&mut other).await;
    one.commit(vec![next_offset(0, 15_000)]).await.unwrap();
    assert_eq!(watermarks(&broker).await, [(0, 20_000)]);
    other.commit(vec![next_offset(0, 12_000)]).await.unwrap();
    assert_eq!(watermarks(&broker).await, [(12_000, 20_000)]);
    let read = broker.read(&next_offset(0, 3), 1).await.unwrap();
    assert_eq!(read[0].position.offset, 12_000, "below the low watermark starts at it");
    assert_eq!(records(&mut one, 1).await[0].position.offset, 12_000);
    for past_the_end in [30_000, -7] {
        one.commit(vec![next_offset(0, past_the_end)]).await.unwrap();
    }
    assert_eq!(watermarks(&broker).await, [(12_000, 20_000)]);
}

#[tokio::test]
async fn a_partition_without_a_group_keeps_the_newest_records() {
    let broker = broker(1).await;
    broker.publish("t", (0..10_500).map(|_| record(1)).collect()).await;
    assert_eq!(watermarks(&broker).await, [(500, 10_500)]);
    let mut member = join(&broker, "g", LONG).await;
    assigned(&mut member).await;
    assert_eq!(records(&mut member, 1).await[0].position.offset, 500);
}

#[tokio::test]
async fn a_full_partition_takes_records_again_after_a_commit() {
    let broker = broker(1).await;
    let mut member = join(&broker, "g", LONG).await;
    assigned(&mut member).await;
    let results = broker.publish("t", (0..80).map(|_| record(1_000_000)).collect()).await;
    let stored = results.iter().take_while(|result| result.is_ok()).count();
    assert!((60..70).contains(&stored), "{stored}");
    assert!(matches!(results[stored], Err(BrokerError::Unavailable(_))));
    member.commit(vec![next_offset(0, 1)]).await.unwrap();
    assert!(broker.publish("t", vec![record(1_000_000)]).await[0].is_ok());
    let results = broker.publish("t", vec![record(1_000_001)]).await;
    assert!(matches!(results[0], Err(BrokerError::Rejected(_))));
}

#[tokio::test]
async fn a_topic_made_after_the_join_is_reported_and_then_assigned() {
    let broker = LocalBroker::default();
    let mut member = join(&broker, "g", LONG).await;
    let event = member.next(1).await;
    assert!(matches!(event, MemberEvent::Error(BrokerError::UnknownTopic(_))), "{event:?}");
    assert!(member.next(1).now_or_never().is_none());
    make(&broker, "t", 2).await;
    assert_eq!(assigned(&mut member).await, [0, 1]);
    let impossible = TopicSpec { name: "u".to_owned(), partitions: 0 };
    assert!(broker.ensure_topics(&[impossible]).await.is_err());
}

#[tokio::test]
async fn a_partition_with_many_records_does_not_starve_the_others() {
    let broker = broker(3).await;
    broker.publish("t", (0..300).map(|_| record(1)).collect()).await;
    let mut member = join(&broker, "g", LONG).await;
    assigned(&mut member).await;
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        seen.extend(records(&mut member, 10).await.iter().map(|delivery| delivery.position.partition));
    }
    assert_eq!(seen.len(), 3);
}

const PUBLISHED: usize = 40_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_publishers_and_members_lose_and_double_nothing() {
    let broker = broker(3).await;
    let (counted, all) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let member = join(&broker, "g", LONG).await;
        tasks.spawn(consume(member, Arc::clone(&counted), all.clone()));
    }
    for _ in 0..2 {
        let broker = broker.clone();
        tasks.spawn(async move {
            for _ in 0..PUBLISHED / 2 {
                broker.publish("t", vec![record(200)]).await[0].as_ref().unwrap();
            }
        });
    }
    tokio::time::timeout(LONG, tasks.join_all()).await.unwrap();
    eprintln!("{PUBLISHED} records in {:?}", started.elapsed());
    assert_eq!(counted.load(Ordering::Relaxed), PUBLISHED);
    let watermarks = watermarks(&broker).await;
    assert!(watermarks.iter().all(|(low, high)| low == high), "what is committed goes: {watermarks:?}");
}

/// Commits batch by batch, until all records are counted.
async fn consume(mut member: Box<dyn Member>, counted: Arc<AtomicUsize>, all: CancellationToken) {
    loop {
        let event = tokio::select! {
            event = member.next(100) => event,
            () = all.cancelled() => return,
        };
        let MemberEvent::Records(records) = event else {
            continue;
        };
        let next_offsets = records
            .iter()
            .map(|delivery| Position { offset: delivery.position.offset + 1, ..delivery.position.clone() });
        member.commit(next_offsets.collect()).await.unwrap();
        if counted.fetch_add(records.len(), Ordering::Relaxed) + records.len() == PUBLISHED {
            all.cancel();
        }
    }
}
