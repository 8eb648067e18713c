//! Cases of how members share partitions and hand them over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::consumer::{Consumer, SESSION_TIMEOUT, drive, shares, total};
use super::{Names, fill, publish, record, sorted_numbers, within};
use crate::broker::{Broker, MemberEvent, Revocation};

/// Joins members one after the other until they share the partitions as expected.
async fn members(broker: &dyn Broker, names: &Names, expected: &[usize]) -> Vec<Consumer> {
    let mut consumers = Vec::new();
    for _ in expected {
        consumers.push(Consumer::join(broker, &names.topic(), &names.group()).await);
        let first = &mut consumers[..];
        drive("an assignment", 10, first, |all| shares(all).iter().sum::<usize>() == 3).await;
    }
    drive("the assignment", 10, &mut consumers, |all| shares(all) == expected).await;
    consumers
}

async fn leave(consumers: Vec<Consumer>) {
    for consumer in consumers {
        consumer.leave().await;
    }
}

pub async fn one_member_owns_every_partition(broker: Arc<dyn Broker>, names: Names) {
    names.made_topic(&*broker).await;
    leave(members(&*broker, &names, &[3]).await).await;
}

pub async fn two_members_own_two_and_one(broker: Arc<dyn Broker>, names: Names) {
    names.made_topic(&*broker).await;
    leave(members(&*broker, &names, &[1, 2]).await).await;
}

pub async fn three_members_own_one_each(broker: Arc<dyn Broker>, names: Names) {
    names.made_topic(&*broker).await;
    leave(members(&*broker, &names, &[1, 1, 1]).await).await;
}

pub async fn a_fourth_member_stands_by_until_one_leaves(broker: Arc<dyn Broker>, names: Names) {
    names.made_topic(&*broker).await;
    let mut consumers = members(&*broker, &names, &[0, 1, 1, 1]).await;
    let owner = consumers.iter().position(|consumer| !consumer.owned.is_empty());
    consumers.remove(owner.unwrap()).leave().await;
    drive("the stand-by to take over", 10, &mut consumers, |all| shares(all) == [1, 1, 1]).await;
    leave(consumers).await;
}

pub async fn a_stand_by_that_leaves_delays_no_other(broker: Arc<dyn Broker>, names: Names) {
    names.made_topic(&*broker).await;
    let mut consumers = members(&*broker, &names, &[0, 1, 1, 1]).await;
    let stand_by = consumers.iter().position(|consumer| consumer.owned.is_empty());
    consumers.remove(stand_by.unwrap()).leave().await;
    consumers.pop().unwrap().leave().await;
    two_take_over(consumers).await;
}

pub async fn one_that_leaves_before_its_first_assignment_delays_no_other(
    broker: Arc<dyn Broker>,
    names: Names,
) {
    let (mut first, second, revocation) = first_and_second(&*broker, &names).await;
    // Everybody else waits for the reply, and by then knows of the third.
    let third = Consumer::join(&*broker, &names.topic(), &names.group()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let reply = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let next_offsets = first.lose(&revocation);
        revocation.reply.send(next_offsets).unwrap();
    };
    tokio::join!(second.leave(), reply);
    two_take_over(vec![first, third]).await;
}

/// Asserts that two members take over sooner than after a session timeout.
async fn two_take_over(mut consumers: Vec<Consumer>) {
    let began = Instant::now();
    drive("the others to take over", 10, &mut consumers, |all| shares(all) == [1, 2]).await;
    assert!(began.elapsed() < SESSION_TIMEOUT / 2, "{:?}", began.elapsed());
    leave(consumers).await;
}

/// Makes a member that owns everything and has consumed ten records of each partition; then a second one joins.
async fn first_and_second(broker: &dyn Broker, names: &Names) -> (Consumer, Consumer, Revocation) {
    let topic = names.made_topic(broker).await;
    fill(broker, &topic, 10).await;
    let mut first = [Consumer::join(broker, &topic, &names.group()).await];
    drive("all partitions", 10, &mut first, |all| all[0].owned.len() == 3 && total(all) == 30).await;
    let [mut first] = first;
    let mut second = Consumer::join(broker, &topic, &names.group()).await;
    let revoked = async {
        loop {
            tokio::select! {
                event = second.member.next(10) => second.handle(event),
                event = first.member.next(10) => match event {
                    MemberEvent::Revoked(revocation) => break revocation,
                    event @ (MemberEvent::Assigned(_)
                    | MemberEvent::Records(_)
                    | MemberEvent::EndReached(_)
                    | MemberEvent::Error(_)) => first.handle(event),
                },
            }
        }
    };
    let revocation = within("a revocation", revoked).await;
    (first, second, revocation)
}

pub async fn a_joining_member_waits_for_the_revocations_reply(broker: Arc<dyn Broker>, names: Names) {
    let (mut first, mut second, revocation) = first_and_second(&*broker, &names).await;
    let round_trips = async {
        for _ in 0..20 {
            within("watermarks", broker.watermarks(&names.topic())).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::pin!(round_trips);
    loop {
        tokio::select! {
            biased;
            event = second.member.next(10) => second.handle(event),
            () = &mut round_trips => break,
        }
    }
    assert!(second.owned.is_empty(), "taken over before the reply");

    let mut next_offsets = first.lose(&revocation);
    let going: BTreeSet<i32> = next_offsets.iter().map(|next| next.partition).collect();
    for next in &mut next_offsets {
        next.offset = 6;
    }
    revocation.reply.send(next_offsets).unwrap();

    let mut both = [first, second];
    drive("the hand-over", 10, &mut both, |all| {
        shares(all) == [1, 2] && all[1].records.len() == 4 * all[1].owned.len()
    })
    .await;
    for partition in &both[1].owned {
        assert!(going.contains(partition));
        assert_eq!(both[1].offsets_of(*partition), [6, 7, 8, 9], "starts where the reply says");
    }
    leave(both.into()).await;
}

pub async fn a_dropped_revocation_lets_the_partitions_go(broker: Arc<dyn Broker>, names: Names) {
    let (mut first, second, revocation) = first_and_second(&*broker, &names).await;
    first.lose(&revocation);
    drop(revocation);
    let mut both = [first, second];
    drive("the hand-over", 10, &mut both, |all| {
        shares(all) == [1, 2] && all[1].records.len() == 10 * all[1].owned.len()
    })
    .await;
    for partition in &both[1].owned {
        assert_eq!(both[1].offsets_of(*partition), (0..10).collect::<Vec<_>>(), "nothing committed");
    }
    leave(both.into()).await;
}

/// [`Consumer::handle`] asserts that only records of owned partitions come.
pub async fn no_record_of_a_revoked_partition_comes_after_the_reply(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    fill(&*broker, &topic, 100).await;
    let mut consumers = vec![Consumer::join(&*broker, &topic, &names.group()).await];
    // One of each partition: whatever a member fetches ahead is there.
    drive("a start", 1, &mut consumers, |all| {
        let partitions = all[0].records.iter().map(|delivery| delivery.position.partition);
        partitions.collect::<BTreeSet<_>>().len() == 3
    })
    .await;
    consumers.push(Consumer::join(&*broker, &topic, &names.group()).await);
    drive("the rest", 1, &mut consumers, |all| total(all) >= 300 && shares(all) == [1, 2]).await;
    let records = consumers.iter().flat_map(|consumer| &consumer.records);
    assert!(sorted_numbers(records).into_iter().eq(0..300), "each record once");
    leave(consumers).await;
}

pub async fn members_come_and_go_and_every_record_comes_once(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let mut consumers: Vec<Consumer> = Vec::new();
    let mut gone = Vec::new();
    let mut published = 0;
    for joins in [true, true, true, false, true, false, false, true] {
        if joins {
            consumers.push(Consumer::join(&*broker, &topic, &names.group()).await);
        } else {
            let consumer = consumers.remove(0);
            consumer.commit().await;
            gone.extend(consumer.records.iter().cloned());
            consumer.leave().await;
        }
        publish(&*broker, &topic, (published..published + 30).map(record).collect()).await;
        published += 30;
        let before = gone.len();
        drive("the records", 4, &mut consumers, |all| before + total(all) >= published).await;
    }
    let left = consumers.iter().flat_map(|consumer| &consumer.records);
    assert!(sorted_numbers(gone.iter().chain(left)).into_iter().eq(0..published));
    leave(consumers).await;
}
