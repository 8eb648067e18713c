//! Cases of what a member is delivered: where it starts, what is repeated, limits, cancelled calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::consumer::{Consumer, drive, total};
use super::{Names, fill, publish, record, record_for, sorted_numbers, within};
use crate::broker::Broker;

/// Joins and takes events until `count` records have come.
async fn consumed(broker: &dyn Broker, names: &Names, count: usize) -> Consumer {
    let mut consumers = [Consumer::join(broker, &names.topic(), &names.group()).await];
    drive("consuming", 100, &mut consumers, |all| total(all) >= count).await;
    let [consumer] = consumers;
    consumer
}

pub async fn a_new_group_starts_at_the_oldest_record(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    fill(&*broker, &topic, 10).await;
    let consumer = consumed(&*broker, &names, 30).await;
    assert!(sorted_numbers(&consumer.records).into_iter().eq(0..30));
    consumer.leave().await;
}

pub async fn records_published_while_no_member_is_joined_are_delivered_later(
    broker: Arc<dyn Broker>,
    names: Names,
) {
    let topic = names.made_topic(&*broker).await;
    publish(&*broker, &topic, (0..10).map(record).collect()).await;
    let consumer = consumed(&*broker, &names, 10).await;
    consumer.commit().await;
    consumer.leave().await;

    publish(&*broker, &topic, (10..20).map(record).collect()).await;
    let consumer = consumed(&*broker, &names, 10).await;
    assert!(sorted_numbers(&consumer.records).into_iter().eq(10..20));
    consumer.leave().await;
}

pub async fn the_next_member_starts_at_the_committed_offset(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    fill(&*broker, &topic, 10).await;
    // Needs all records, so that none goes because of the commit.
    let other = Consumer::join(&*broker, &topic, &names.other_group()).await;
    let consumer = consumed(&*broker, &names, 30).await;
    let mut next_offsets = consumer.next_offsets();
    next_offsets.retain(|next| next.partition != 0);
    for next in &mut next_offsets {
        next.offset = 7;
    }
    within("committing", consumer.member.commit(next_offsets)).await.unwrap();
    consumer.leave().await;

    let consumer = consumed(&*broker, &names, 16).await;
    assert_eq!(consumer.offsets_of(0), (0..10).collect::<Vec<_>>(), "nothing committed");
    assert_eq!(consumer.offsets_of(1), [7, 8, 9]);
    assert_eq!(consumer.offsets_of(2), [7, 8, 9]);
    consumer.leave().await;
    other.leave().await;
}

pub async fn committed_offsets_can_be_asked_for(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let committed = async || within("asking", broker.committed(&names.group(), &topic)).await.unwrap();
    assert_eq!(committed().await, BTreeMap::new(), "a group that nobody knows");
    fill(&*broker, &topic, 10).await;
    let consumer = consumed(&*broker, &names, 30).await;
    let mut next_offsets = consumer.next_offsets();
    next_offsets.retain(|next| next.partition != 0);
    within("committing", consumer.member.commit(next_offsets)).await.unwrap();
    assert_eq!(committed().await, BTreeMap::from([(1, 10), (2, 10)]));
    consumer.leave().await;
    assert_eq!(committed().await, BTreeMap::from([(1, 10), (2, 10)]), "also without members");
}

pub async fn uncommitted_records_come_again_after_a_leave(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    fill(&*broker, &topic, 5).await;
    consumed(&*broker, &names, 15).await.leave().await;
    let consumer = consumed(&*broker, &names, 15).await;
    assert!(sorted_numbers(&consumer.records).into_iter().eq(0..15));
    consumer.leave().await;
}

pub async fn uncommitted_records_come_again_after_a_drop(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    fill(&*broker, &topic, 5).await;
    drop(consumed(&*broker, &names, 15).await);
    let consumer = consumed(&*broker, &names, 15).await;
    assert!(sorted_numbers(&consumer.records).into_iter().eq(0..15));
    consumer.leave().await;
}

pub async fn a_waiting_member_is_woken_by_a_publish(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let mut consumers = [Consumer::join(&*broker, &topic, &names.group()).await];
    drive("all partitions", 10, &mut consumers, |all| all[0].owned.len() == 3).await;
    for n in 0..30 {
        // Polled in this order: waiting comes first.
        let waiting = drive("being woken", 10, &mut consumers, |all| total(all) > n);
        let publishing = publish(&*broker, &topic, vec![record(n)]);
        tokio::join!(biased; waiting, publishing);
    }
    assert!(sorted_numbers(&consumers[0].records).into_iter().eq(0..30));
}

pub async fn with_limit_0_all_but_records_come(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    fill(&*broker, &topic, 1).await;
    let mut consumers = vec![Consumer::join(&*broker, &topic, &names.group()).await];
    drive("an assignment", 0, &mut consumers, |all| all[0].owned.len() == 3).await;

    let publishing = async {
        for n in 3..20 {
            publish(&*broker, &topic, vec![record(n)]).await;
        }
    };
    let [consumer] = &mut consumers[..] else { unreachable!() };
    tokio::select! {
        () = drive("nothing", 0, std::slice::from_mut(consumer), |_| false) => {}
        () = publishing => {}
    }

    consumers.push(Consumer::join(&*broker, &topic, &names.group()).await);
    drive("a revocation", 0, &mut consumers, |all| !all[1].owned.is_empty()).await;
    assert_eq!(total(&consumers), 0);
    drive("records at last", 5, &mut consumers, |all| total(all) == 20).await;
    let records = consumers.iter().flat_map(|consumer| &consumer.records);
    assert!(sorted_numbers(records).into_iter().eq(0..20));
}

/// [`drive`] asserts the limit.
pub async fn no_more_records_than_the_limit_come(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    fill(&*broker, &topic, 20).await;
    let mut consumers = [Consumer::join(&*broker, &topic, &names.group()).await];
    for (limit, until) in [(1, 10), (7, 40), (1000, 60)] {
        drive("records", limit, &mut consumers, |all| total(all) >= until).await;
    }
    assert!(sorted_numbers(&consumers[0].records).into_iter().eq(0..60));
}

pub async fn a_cancelled_next_loses_nothing(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let mut consumers = vec![Consumer::join(&*broker, &topic, &names.group()).await];
    let mut cancelled = 0;
    for n in 0..300 {
        // One by one, so that most calls find nothing, and with a rebalance on the way.
        publish(&*broker, &topic, vec![record_for(i32::try_from(n % 3).unwrap(), n)]).await;
        if n == 100 {
            consumers.push(Consumer::join(&*broker, &topic, &names.group()).await);
        }
        cancelled += hammer(&mut consumers).await;
    }
    let hammering = async {
        while total(&consumers) < 300 || consumers.iter().any(|consumer| consumer.owned.is_empty()) {
            cancelled += hammer(&mut consumers).await;
        }
    };
    within("all records", hammering).await;
    assert!(cancelled > 0);
    let records = consumers.iter().flat_map(|consumer| &consumer.records);
    assert!(sorted_numbers(records).into_iter().eq(0..300));
}

/// Calls every member's `next` twice and cancels it as soon as it would wait: at once, then after others have run.
/// Returns how often that was.
async fn hammer(consumers: &mut [Consumer]) -> u32 {
    let mut cancelled = 0;
    for consumer in consumers {
        for patient in [false, true] {
            let others = async {
                if patient {
                    tokio::task::yield_now().await;
                }
            };
            let event = tokio::select! {
                biased;
                event = consumer.member.next(2) => Some(event),
                () = others => None,
            };
            cancelled += u32::from(event.is_none());
            if let Some(event) = event {
                consumer.handle(event);
            }
        }
    }
    cancelled
}

pub async fn every_group_gets_everything(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let mut one = [Consumer::join(&*broker, &topic, &names.group()).await];
    let mut other = [Consumer::join(&*broker, &topic, &names.other_group()).await];
    fill(&*broker, &topic, 10).await;
    drive("one group", 100, &mut one, |all| total(all) == 30).await;
    one[0].commit().await;
    drive("the other group", 100, &mut other, |all| total(all) == 30).await;
    for [consumer] in [one, other] {
        assert!(sorted_numbers(&consumer.records).into_iter().eq(0..30));
        consumer.leave().await;
    }
}
