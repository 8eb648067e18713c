//! Records of other producers: transactions, every codec, batches that can't be decoded.

use std::collections::BTreeMap;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::*;

const SENDING: Duration = Duration::from_secs(30);

fn producer(settings: &[(&str, &str)]) -> Option<BaseProducer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", env::var("TEST_KAFKA_BROKERS").ok()?);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    Some(config.create().unwrap())
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &[u8]) {
    producer
        .send(BaseRecord::<(), _>::to(topic).partition(partition).payload(value))
        .map_err(|(e, _)| e)
        .unwrap();
}

async fn topic_of(kafka: &Kafka, partitions: i32) -> String {
    let topic = unique();
    kafka.ensure_topics(&[TopicSpec { name: topic.clone(), partitions }]).await.unwrap();
    topic
}

/// Returns the deliveries of a member until each partition is read up to `ends`.
async fn read_to(kafka: &Kafka, topic: &str, ends: &BTreeMap<i32, i64>) -> Vec<Delivery> {
    let mut member = kafka.join(membership(&unique(), topic)).await.unwrap();
    let (mut deliveries, mut next) = (Vec::new(), BTreeMap::new());
    let reading = async {
        while ends.iter().any(|(partition, end)| next.get(partition).is_none_or(|next| next < end)) {
            match member.next(100).await {
                MemberEvent::Records(records) => {
                    for delivery in &records {
                        let behind = delivery.undecodable.as_ref().map(|batch| batch.next_offset);
                        next.insert(
                            delivery.position.partition,
                            behind.unwrap_or(delivery.position.offset + 1),
                        );
                    }
                    deliveries.extend(records);
                }
                MemberEvent::EndReached(end) => _ = next.insert(end.partition, end.offset),
                MemberEvent::Assigned(_) | MemberEvent::Revoked(_) | MemberEvent::Error(_) => {}
            }
        }
    };
    tokio::time::timeout(STEP_TIMEOUT, reading).await.expect("every partition is read to its end");
    member.leave().await;
    deliveries
}

fn values(deliveries: &[Delivery]) -> Vec<(i64, String)> {
    let value = |delivery: &Delivery| {
        let value = delivery.record.value.as_deref().unwrap_or_default();
        (delivery.position.offset, String::from_utf8_lossy(value).into_owned())
    };
    deliveries.iter().map(value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_markers_and_aborted_records_are_skipped() {
    let Some(kafka) = kafka() else { return };
    let topic = topic_of(&kafka, 3).await;
    let theirs = producer(&[("transactional.id", &unique())]).unwrap();
    let name = topic.clone();
    tokio::task::spawn_blocking(move || {
        theirs.init_transactions(SENDING).unwrap();
        for (values, is_kept) in [(&["one", "two"][..], true), (&["never"][..], false)] {
            theirs.begin_transaction().unwrap();
            for value in values {
                send(&theirs, &name, 2, value.as_bytes());
            }
            if is_kept {
                theirs.commit_transaction(SENDING).unwrap();
            } else {
                theirs.flush(SENDING).unwrap();
                theirs.abort_transaction(SENDING).unwrap();
            }
        }
        // Nothing but what was taken back.
        theirs.begin_transaction().unwrap();
        send(&theirs, &name, 1, b"never");
        theirs.flush(SENDING).unwrap();
        theirs.abort_transaction(SENDING).unwrap();
        theirs
    })
    .await
    .unwrap();

    let marks = kafka.watermarks(&topic).await.unwrap();
    let ends: Vec<(i64, i64)> = marks.iter().map(|marks| (marks.high, marks.stable)).collect();
    assert_eq!(ends, [(0, 0), (2, 2), (5, 5)]);
    let read = read_to(&kafka, &topic, &BTreeMap::from([(1, 2), (2, 5)])).await;
    assert_eq!(values(&read), [(0, "one".to_owned()), (1, "two".to_owned())]);
    let from = |offset| Position { topic: topic.as_str().into(), partition: 2, offset };
    assert_eq!(values(&kafka.read(&from(1), 9).await.unwrap()), [(1, "two".to_owned())]);
    assert_eq!(kafka.read(&from(2), 9).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_holds_back_what_comes_after_it() {
    let Some(kafka) = kafka() else { return };
    let topic = topic_of(&kafka, 1).await;
    let theirs = producer(&[("transactional.id", &unique())]).unwrap();
    let name = topic.clone();
    let theirs = tokio::task::spawn_blocking(move || {
        theirs.init_transactions(SENDING).unwrap();
        theirs.begin_transaction().unwrap();
        send(&theirs, &name, 0, b"open");
        theirs.flush(SENDING).unwrap();
        theirs
    })
    .await
    .unwrap();
    let ours = Record { value: Some(Bytes::from_static(b"ours")), ..Record::default() };
    kafka.publish(&topic, vec![ours]).await.remove(0).unwrap();
    let marks = kafka.watermarks(&topic).await.unwrap();
    assert_eq!((marks[0].high, marks[0].stable), (2, 0));
    let from = Position { topic: topic.as_str().into(), partition: 0, offset: 0 };
    assert_eq!(kafka.read(&from, 9).await.unwrap(), []);
    tokio::task::spawn_blocking(move || theirs.commit_transaction(SENDING).unwrap()).await.unwrap();
    let read = read_to(&kafka, &topic, &BTreeMap::from([(0, 3)])).await;
    assert_eq!(values(&read), [(0, "open".to_owned()), (1, "ours".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_read() {
    let Some(kafka) = kafka() else { return };
    let topic = topic_of(&kafka, 1).await;
    let codecs = ["zstd", "lz4", "snappy", "gzip", "none"];
    for codec in codecs {
        let theirs = producer(&[("compression.codec", codec)]).unwrap();
        send(&theirs, &topic, 0, codec.repeat(1000).as_bytes());
        tokio::task::spawn_blocking(move || theirs.flush(SENDING).unwrap()).await.unwrap();
    }
    let expected: Vec<_> = (0..).zip(codecs.map(|codec| codec.repeat(1000))).collect();
    assert_eq!(values(&read_to(&kafka, &topic, &BTreeMap::from([(0, 5)])).await), expected);
    let from = Position { topic: topic.as_str().into(), partition: 0, offset: 0 };
    assert_eq!(values(&kafka.read(&from, 9).await.unwrap()), expected);
}

/// Publishes a batch of a few kilobytes for brokers, which look at the compressed size only.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_grows_beyond_all_bounds_is_reported_and_skipped() {
    let Some(kafka) = kafka() else { return };
    let topic = topic_of(&kafka, 2).await;
    for partition in 0..2 {
        let theirs = producer(&[]).unwrap();
        send(&theirs, &topic, partition, b"before");
        tokio::task::spawn_blocking(move || theirs.flush(SENDING).unwrap()).await.unwrap();
    }
    let limits = [
        ("compression.codec", "zstd"),
        ("message.max.bytes", "100000000"),
        ("batch.size", "100000000"),
        ("linger.ms", "500"),
    ];
    let theirs = producer(&limits).unwrap();
    send(&theirs, &topic, 1, b"beside it");
    send(&theirs, &topic, 1, &vec![0; 40_000_000]);
    send(&theirs, &topic, 1, b"beside it");
    tokio::task::spawn_blocking(move || theirs.flush(SENDING).unwrap()).await.unwrap();
    let theirs = producer(&[]).unwrap();
    send(&theirs, &topic, 1, b"behind");
    tokio::task::spawn_blocking(move || theirs.flush(SENDING).unwrap()).await.unwrap();

    let mut read = read_to(&kafka, &topic, &BTreeMap::from([(0, 1), (1, 5)])).await;
    read.retain(|delivery| delivery.position.partition == 1);
    let bad: Vec<_> = read.extract_if(.., |delivery| delivery.undecodable.is_some()).collect();
    assert_eq!(values(&read), [(0, "before".to_owned()), (4, "behind".to_owned())]);
    let [batch] = bad.try_into().unwrap();
    assert_eq!(batch.position.offset, 1);
    let Undecodable { next_offset, cause } = batch.undecodable.unwrap();
    assert_eq!(next_offset, 4);
    assert!(cause.contains("Decompression (codec 0x4)"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_topics_are_read() {
    use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
    let Some(kafka) = kafka() else { return };
    let topic = unique();
    let brokers = env::var("TEST_KAFKA_BROKERS").unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let theirs = NewTopic::new(&topic, 2, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("compression.type", "zstd");
    admin.create_topics([&theirs], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    kafka.ensure_topics(&[TopicSpec { name: topic.clone(), partitions: 2 }]).await.unwrap();
    let settings = kafka.topic_settings(&[&topic, "not there"]).await.unwrap();
    assert_eq!(settings.keys().collect::<Vec<_>>(), [&topic]);
    let settings = &settings[&topic];
    assert_eq!((settings.partitions, settings.replicas), (2, Some(1)));
    let value = |name: &str| settings.configs.get(name).map(String::as_str);
    assert_eq!((value("cleanup.policy"), value("compression.type")), (Some("compact"), Some("zstd")));
    assert_eq!(value("max.message.bytes"), Some("1048588"));
}
