//! Speed of publishing, and records that brokers refuse, on a real Kafka.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_record_does_not_wait_for_a_delayed_acknowledgement() {
    let Some(kafka) = kafka() else { return };
    let topic = made_topic(&kafka, 3).await;
    for bytes in [200, 7_000] {
        let mut took = Vec::new();
        for _ in 0..51 {
            let began = Instant::now();
            publish(&kafka, &topic, vec![record(vec![b'x'; bytes])]).await;
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let (quick, median, most) = (took[5], took[25], took[48]);
        eprintln!("a lone record of {bytes} bytes: 10 % {quick:?}, median {median:?}, 95 % {most:?}");
        // Not the median, which other programs slow down. A delayed acknowledgement takes 40 ms each time.
        assert!(quick < Duration::from_millis(35));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_records_share_round_trips() {
    let Some(kafka) = kafka() else { return };
    let topic = made_topic(&kafka, 3).await;
    publish(&kafka, &topic, numbered(0..3)).await;
    let began = Instant::now();
    let records = (0..10_000).map(|_| record(vec![b'x'; 300])).collect();
    publish(&kafka, &topic, records).await;
    eprintln!("10,000 records of 300 bytes in one call: {:?}", began.elapsed());

    let began = Instant::now();
    let callers = (0..100).map(|_| async {
        for _ in 0..20 {
            publish(&kafka, &topic, vec![record(vec![b'x'; 300])]).await;
        }
    });
    futures_util::future::join_all(callers).await;
    eprintln!("2,000 records by 100 callers, one each time: {:?}", began.elapsed());
    // With a delayed acknowledgement for each record it would be half a minute.
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_only_the_record_that_the_broker_refuses_is_refused() {
    let Some(kafka) = kafka() else { return };
    let topic = format!("kafka-{}", unique());
    let spec = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "5000");
    admin().create_topics(&[spec], &AdminOptions::new()).await.unwrap();
    let mut records = numbered(0..50);
    records.insert(20, record(vec![b'x'; 5_000]));
    let outcomes = within("publishing", kafka.publish(&topic, records)).await;
    for (index, outcome) in outcomes.iter().enumerate() {
        let is_refused = matches!(outcome, Err(BrokerError::Rejected(_)));
        assert_eq!(is_refused, index == 20, "{index}: {outcome:?}");
        assert!(outcome.is_ok() || is_refused);
    }
    let from = Position { topic: topic.as_str().into(), partition: 0, offset: 0 };
    let stored = within("reading", kafka.read(&from, 100)).await.unwrap();
    let values = stored.iter().map(|delivery| delivery.record.value.clone());
    assert!(values.eq(numbered(0..50).into_iter().map(|record| record.value)));
}
