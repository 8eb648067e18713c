//! Conformance tests of every `Broker`: each case runs on the local broker and, where `TEST_KAFKA_BROKERS` names one,
//! on Kafka.

mod consumer;
mod consuming;
mod groups;
mod publishing;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;

use super::kafka::Kafka;
use super::local::LocalBroker;
use super::partitioner::partition_for;
use super::{Broker, Delivery, Position, Record, TopicSpec};
use crate::config::KafkaConfig;
use crate::not_run::not_run;

/// Time limit for a call to a real broker.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Number of partitions of most cases' topic.
const PARTITIONS: i32 = 3;

/// Names that are unique to one run of one case.
pub struct Names(uuid::Uuid);

impl Names {
    fn unique() -> Self {
        Self(uuid::Uuid::new_v4())
    }

    fn topic(&self) -> String {
        format!("topic-{}", self.0)
    }

    fn group(&self) -> String {
        format!("group-{}", self.0)
    }

    fn other_group(&self) -> String {
        format!("other-group-{}", self.0)
    }

    /// The topic, made.
    async fn made_topic(&self, broker: &dyn Broker) -> String {
        let spec = TopicSpec { name: self.topic(), partitions: PARTITIONS };
        let made = within("making a topic", broker.ensure_topics(&[spec])).await;
        assert_eq!(made.unwrap(), [self.topic()]);
        self.topic()
    }
}

/// `None` without `TEST_KAFKA_BROKERS`.
fn kafka() -> Option<Arc<dyn Broker>> {
    let brokers = std::env::var("TEST_KAFKA_BROKERS").ok()?;
    let config = KafkaConfig {
        compat_topic: None,
        brokers: brokers.split(',').map(str::to_owned).collect(),
        prefix: "conformance-".to_owned(),
        partitions: PARTITIONS,
        replication_factor: None,
        session_timeout: Duration::from_secs(10),
        tls: None,
        sasl: None,
    };
    Some(Arc::new(Kafka::new(&config, "conformance")))
}

macro_rules! cases {
    ($($module:ident: $($case:ident)*;)*) => {
        mod on_the_local_broker {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $module::$case(Arc::new(LocalBroker::default()), Names::unique()).await;
                }
            )*)*
        }

        mod on_kafka {
            use super::*;

            const CASES: usize = [$($(stringify!($case)),*),*].len();
            static NOT_RUN: Once = Once::new();

            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    match kafka() {
                        Some(broker) => $module::$case(broker, Names::unique()).await,
                        None => NOT_RUN.call_once(|| {
                            let others = CASES - 1;
                            not_run(&format!("nor {others} other cases: TEST_KAFKA_BROKERS is not set"));
                        }),
                    }
                }
            )*)*
        }
    };
}

cases! {
    publishing:
        records_of_a_partition_keep_their_order
        a_key_goes_to_the_partition_of_its_hash
        records_without_a_key_spread_over_all_partitions
        headers_and_absent_parts_survive
        results_come_in_the_order_given
        a_record_too_large_is_rejected_and_its_neighbours_are_stored
        an_unknown_topic_is_reported
        topics_are_made_once_and_stay_as_they_are
        watermarks_are_the_oldest_and_the_next_offset
        reading_starts_anywhere;
    consuming:
        a_new_group_starts_at_the_oldest_record
        records_published_while_no_member_is_joined_are_delivered_later
        the_next_member_starts_at_the_committed_offset
        committed_offsets_can_be_asked_for
        uncommitted_records_come_again_after_a_leave
        uncommitted_records_come_again_after_a_drop
        a_waiting_member_is_woken_by_a_publish
        with_limit_0_all_but_records_come
        no_more_records_than_the_limit_come
        a_cancelled_next_loses_nothing
        every_group_gets_everything;
    groups:
        one_member_owns_every_partition
        two_members_own_two_and_one
        three_members_own_one_each
        a_fourth_member_stands_by_until_one_leaves
        a_stand_by_that_leaves_delays_no_other
        one_that_leaves_before_its_first_assignment_delays_no_other
        a_joining_member_waits_for_the_revocations_reply
        a_dropped_revocation_lets_the_partitions_go
        no_record_of_a_revoked_partition_comes_after_the_reply
        members_come_and_go_and_every_record_comes_once;
}

/// Waits for the future; panics when it takes longer than any broker may.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(CALL_TIMEOUT, future).await;
    result.unwrap_or_else(|_| panic!("{what} takes more than {CALL_TIMEOUT:?}"))
}

/// Makes a record whose value is the number and whose key is the smallest of the partition.
fn record_for(partition: i32, number: usize) -> Record {
    let turn = AtomicUsize::new(0);
    let mut keys = (0..).map(|n: u32| n.to_string());
    let key = keys.find(|key| partition_for(Some(key.as_bytes()), &turn, PARTITIONS) == partition);
    Record { key: key.map(Bytes::from), ..record(number) }
}

/// Makes a record without a key whose value is the number.
fn record(number: usize) -> Record {
    Record { value: Some(Bytes::from(number.to_string())), ..Record::default() }
}

fn number(delivery: &Delivery) -> usize {
    let value = delivery.record.value.as_deref().unwrap();
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

fn sorted_numbers<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> Vec<usize> {
    let mut numbers: Vec<usize> = deliveries.into_iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Publishes records, all of which must be stored.
async fn publish(broker: &dyn Broker, topic: &str, records: Vec<Record>) -> Vec<Position> {
    let count = records.len();
    let results = within("publishing", broker.publish(topic, records)).await;
    assert_eq!(results.len(), count);
    results.into_iter().map(Result::unwrap).collect()
}

/// Publishes `each` records to every partition in turn, numbered from 0 on.
async fn fill(broker: &dyn Broker, topic: &str, each: usize) {
    let partitions = usize::try_from(PARTITIONS).unwrap();
    let partition_of = |number: usize| i32::try_from(number % partitions).unwrap();
    let numbers = 0..each * partitions;
    publish(broker, topic, numbers.map(|n| record_for(partition_of(n), n)).collect()).await;
}

async fn read(broker: &dyn Broker, topic: &str, partition: i32, offset: i64, max: usize) -> Vec<Delivery> {
    let from = Position { topic: Arc::from(topic), partition, offset };
    within("reading", broker.read(&from, max)).await.unwrap()
}
