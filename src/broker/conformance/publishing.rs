//! Cases without a group: publishing, reading, topics, watermarks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Names, PARTITIONS, fill, number, publish, read, record, record_for, within};
use crate::broker::partitioner::partition_for;
use crate::broker::{Broker, BrokerError, Headers, Position, Record, TopicSpec, Watermarks};

pub async fn records_of_a_partition_keep_their_order(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    for batch in 0..10 {
        let numbers = batch * 50..(batch + 1) * 50;
        publish(&*broker, &topic, numbers.map(|n| record_for(1, n)).collect()).await;
    }
    let mut numbers = Vec::new();
    while numbers.len() < 500 {
        let next = i64::try_from(numbers.len()).unwrap();
        let deliveries = read(&*broker, &topic, 1, next, 500).await;
        assert!(!deliveries.is_empty());
        numbers.extend(deliveries.iter().map(number));
    }
    assert!(numbers.into_iter().eq(0..500));
}

pub async fn a_key_goes_to_the_partition_of_its_hash(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let keys: Vec<String> = (0..20).map(|n| n.to_string()).chain([String::new()]).collect();
    let keyed = |key: &String| Record { key: Some(Bytes::from(key.clone())), ..record(0) };
    for _ in 0..2 {
        let positions = publish(&*broker, &topic, keys.iter().map(keyed).collect()).await;
        let partitions: Vec<i32> = positions.iter().map(|position| position.partition).collect();
        let turn = AtomicUsize::new(0);
        let hashed = keys.iter().map(|key| partition_for(Some(key.as_bytes()), &turn, PARTITIONS));
        assert_eq!(partitions, hashed.collect::<Vec<_>>());
    }
}

pub async fn records_without_a_key_spread_over_all_partitions(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let batch = publish(&*broker, &topic, (0..9).map(record).collect()).await;
    let mut single = Vec::new();
    for n in 0..9 {
        single.extend(publish(&*broker, &topic, vec![record(n)]).await);
    }
    for positions in [batch, single] {
        let partitions: BTreeSet<i32> = positions.iter().map(|position| position.partition).collect();
        assert!(partitions.into_iter().eq(0..PARTITIONS), "{positions:?}");
    }
}

pub async fn headers_and_absent_parts_survive(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let headers = Headers::from([
        ("empty", Bytes::new()),
        ("event-id", Bytes::from_static(b"\x00\xff binary")),
        ("größe", Bytes::from_static("ß".as_bytes())),
    ]);
    let mut odd = Headers::from([("z", "1"), ("a", "1"), ("a", "2")]);
    odd.push("b", None);
    odd.push("a", Some(Bytes::from_static(b"\xff")));
    odd.push("", Some(Bytes::new()));
    let key = || Some(Bytes::from_static(b"\xff\x00key"));
    let value = || Some(Bytes::from_static(b"\x00value\xfe"));
    let records: Vec<Record> = [
        (key(), value(), headers.clone()),
        (None, value(), headers),
        (key(), None, Headers::default()),
        (None, None, Headers::default()),
        (Some(Bytes::new()), Some(Bytes::new()), Headers::default()),
        (key(), value(), odd.clone()),
        (None, None, odd),
    ]
    .into_iter()
    .map(|(key, value, headers)| Record { key, value, headers })
    .collect();
    let positions = publish(&*broker, &topic, records.clone()).await;
    for (record, position) in records.into_iter().zip(positions) {
        let read = read(&*broker, &topic, position.partition, position.offset, 1).await;
        assert_eq!((&read[0].record, &read[0].position), (&record, &position));
    }
}

pub async fn results_come_in_the_order_given(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let mixed = |n: usize| match n % 4 {
        0 => record(n),
        turn => record_for(i32::try_from(turn - 1).unwrap(), n),
    };
    let positions = publish(&*broker, &topic, (0..40).map(mixed).collect()).await;
    for (n, position) in positions.into_iter().enumerate() {
        let read = read(&*broker, &topic, position.partition, position.offset, 1).await;
        assert_eq!((number(&read[0]), &read[0].position), (n, &position));
    }
    assert_eq!(broker.publish(&topic, vec![]).await.len(), 0);
}

pub async fn a_record_too_large_is_rejected_and_its_neighbours_are_stored(
    broker: Arc<dyn Broker>,
    names: Names,
) {
    let topic = names.made_topic(&*broker).await;
    let large = Record { value: Some(Bytes::from(vec![b'x'; 2 << 20])), ..record_for(1, 1) };
    let records = vec![record_for(1, 0), large, record_for(1, 2)];
    let results = within("publishing", broker.publish(&topic, records)).await;
    assert!(matches!(&results[..], [Ok(_), Err(BrokerError::Rejected(_)), Ok(_)]), "{results:?}");
    let stored = read(&*broker, &topic, 1, 0, 10).await;
    assert_eq!(stored.iter().map(number).collect::<Vec<_>>(), [0, 2]);
}

pub async fn an_unknown_topic_is_reported(broker: Arc<dyn Broker>, names: Names) {
    let is_reported = |error: &BrokerError| matches!(error, BrokerError::UnknownTopic(name) if name.ends_with(&names.topic()));
    let results = within("publishing", broker.publish(&names.topic(), vec![record(0), record(1)])).await;
    assert!(
        results.len() == 2 && results.iter().all(|result| result.as_ref().is_err_and(is_reported)),
        "{results:?}"
    );
    let from = Position { topic: names.topic().into(), partition: 0, offset: 0 };
    let read = within("reading", broker.read(&from, 1)).await;
    assert!(read.as_ref().is_err_and(is_reported), "{read:?}");
    let watermarks = within("asking for watermarks", broker.watermarks(&names.topic())).await;
    assert!(watermarks.as_ref().is_err_and(is_reported), "{watermarks:?}");
    let topics = within("listing topics", broker.topics()).await.unwrap();
    assert!(!topics.contains_key(&names.topic()), "asking must not make it");
}

pub async fn topics_are_made_once_and_stay_as_they_are(broker: Arc<dyn Broker>, names: Names) {
    let spec = |suffix: &str, partitions| TopicSpec { name: names.topic() + suffix, partitions };
    let wanted = [spec("", PARTITIONS), spec("-single", 1)];
    let all_at_once = join_all((0..8).map(|_| broker.ensure_topics(&wanted)));
    let made = within("making topics", all_at_once).await.into_iter();
    let mut made: Vec<String> = made.flat_map(Result::unwrap).collect();
    made.sort_unstable();
    assert_eq!(made, [names.topic(), names.topic() + "-single"]);

    publish(&*broker, &names.topic(), vec![record_for(2, 7)]).await;
    let wanted = [spec("", 5), spec("-new", 2), spec("-single", 3)];
    let made = within("making topics", broker.ensure_topics(&wanted)).await.unwrap();
    assert_eq!(made, [names.topic() + "-new"]);

    let topics = within("listing topics", broker.topics()).await.unwrap();
    for (suffix, partitions) in [("", PARTITIONS), ("-single", 1), ("-new", 2)] {
        assert_eq!(topics.get(&(names.topic() + suffix)), Some(&partitions), "{suffix}");
    }
    assert_eq!(number(&read(&*broker, &names.topic(), 2, 0, 1).await[0]), 7);
}

pub async fn watermarks_are_the_oldest_and_the_next_offset(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    let records = [(1, 5), (2, 1)].into_iter();
    let records = records.flat_map(|(partition, count)| (0..count).map(move |n| record_for(partition, n)));
    publish(&*broker, &topic, records.collect()).await;
    let watermarks = within("asking for watermarks", broker.watermarks(&topic)).await.unwrap();
    let expected = [(0, 0), (1, 5), (2, 1)].map(|(partition, high)| Watermarks {
        partition,
        low: 0,
        high,
        stable: high,
    });
    assert_eq!(watermarks, expected);
}

pub async fn reading_starts_anywhere(broker: Arc<dyn Broker>, names: Names) {
    let topic = names.made_topic(&*broker).await;
    fill(&*broker, &topic, 10).await;
    let offsets = async |from: i64, max: usize| {
        let deliveries = read(&*broker, &topic, 1, from, max).await;
        let offsets = deliveries.into_iter().map(|delivery| delivery.position.offset);
        offsets.collect::<Vec<_>>()
    };
    assert_eq!(offsets(0, 100).await, (0..10).collect::<Vec<_>>());
    assert_eq!(offsets(4, 3).await, [4, 5, 6], "from the middle");
    assert_eq!(offsets(9, 3).await, [9]);
    assert_eq!(offsets(10, 3).await, [0_i64; 0], "at the end");
    assert_eq!(offsets(-5, 2).await, [0, 1], "below the oldest: from the oldest on");
}
