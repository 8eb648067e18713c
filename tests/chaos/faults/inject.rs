//! Records that the product did not publish: duplicates, unreadable values and forged results.

use std::collections::BTreeMap;
use std::time::Duration;

use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::Done;
use crate::load::dice::Dice;
use crate::stage::Services;

const TOPICS: [&str; 2] = ["file.create", "file.created"];
const PARTITIONS: i32 = 3;
const LIMIT: Duration = Duration::from_mins(1);
/// Time in which records come to partitions that were added.
const NEW_PARTITIONS: Duration = Duration::from_secs(30);

async fn connect(services: &Services) -> Client {
    let client = ClientBuilder::new(vec![services.kafka_direct.clone()]).build();
    timeout(LIMIT, client).await.expect("kafka answers").unwrap()
}

async fn partitions(services: &Services, topic: &str) -> Vec<PartitionClient> {
    let client = connect(services).await;
    let topic = format!("{}{topic}", services.ground.prefix);
    let mut partitions = Vec::new();
    for number in 0..PARTITIONS {
        let one = client.partition_client(topic.as_str(), number, UnknownTopicHandling::Retry);
        partitions.push(timeout(LIMIT, one).await.expect("kafka answers").unwrap());
    }
    partitions
}

async fn produce(partition: &PartitionClient, records: Vec<Record>) {
    if !records.is_empty() {
        let produced = partition.produce(records, Compression::NoCompression);
        timeout(LIMIT, produced).await.expect("kafka answers").unwrap();
    }
}

/// Puts, for some seconds, two of five records that come on their topic once more, copies too.
pub async fn duplicates(services: &Services, dice: &mut Dice, done: &mut Done) {
    let until = Instant::now() + Duration::from_secs(6);
    let mut places = Vec::new();
    for topic in TOPICS {
        for partition in partitions(services, topic).await {
            let end = timeout(LIMIT, partition.get_offset(OffsetAt::Latest)).await;
            places.push((partition, end.expect("kafka answers").unwrap()));
        }
    }
    while Instant::now() < until {
        for (partition, next) in &mut places {
            let fetched = timeout(LIMIT, partition.fetch_records(*next, 1..1_000_000, 1)).await;
            let (records, _) = fetched.expect("kafka answers").unwrap();
            *next = records.last().map_or(*next, |last| last.offset + 1);
            let again: Vec<Record> =
                records.into_iter().map(|record| record.record).filter(|_| dice.chance(400)).collect();
            *done.injected.entry("duplicates").or_default() += again.len() as u64;
            produce(partition, again).await;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn record(key: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Record {
    Record { key, value, headers: BTreeMap::new(), timestamp: chrono::Utc::now() }
}

/// Values that neither topic can use.
fn unreadable(dice: &mut Dice) -> Option<Vec<u8>> {
    match dice.below(9) {
        0 => Some(b"not JSON".to_vec()),
        1 => Some(Vec::new()),
        2 => None,
        3 => Some(vec![b'['; 1_000_000]),
        4 => Some(b"{\"fileId\":1,\"title\":\"\xff\xfe\"}".to_vec()),
        5 => Some(json!({"fileId": "1", "title": 7, "status": []}).to_string().into_bytes()),
        6 => Some(json!({"fileId": -1, "title": "x", "status": "completed"}).to_string().into_bytes()),
        7 => Some(json!({"fileId": 0, "title": "x", "timestamp": "now"}).to_string().into_bytes()),
        _ => Some(b"[1,2,{\"fileId\":1}]".to_vec()),
    }
}

/// Each must be dead-lettered once.
pub async fn poison(services: &Services, dice: &mut Dice, done: &mut Done) {
    for topic in TOPICS {
        let partitions = partitions(services, topic).await;
        for _ in 0..12 {
            let value = unreadable(dice);
            produce(dice.pick(&partitions), vec![record(None, value)]).await;
            *done.injected.entry("poison").or_default() += 1;
        }
    }
}

/// Results that are readable and must change nothing: of unknown files, and with locations that are not the file's.
pub async fn forged(services: &Services, dice: &mut Dice, done: &mut Done) {
    let partitions = partitions(services, "file.created").await;
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let ids = services.newest_files(10).await;
        for id in ids {
            let bucket = &services.ground.bucket;
            let location = match dice.below(4) {
                0 => format!("s3://{bucket}/files/{}_of_another_1.txt", id + 1),
                1 => format!("s3://another/files/{id}_x_1.txt"),
                2 => format!("s3://{bucket}/files/{id}_/../../{}_x_1.txt", id + 1),
                _ => format!("https://{bucket}/files/{id}_x_1.txt"),
            };
            let value = json!({"fileId": id, "status": "completed", "s3Location": location, "size": 1});
            let value = Some(value.to_string().into_bytes());
            produce(dice.pick(&partitions), vec![record(Some(id.to_string().into_bytes()), value)]).await;
            *done.injected.entry("forged").or_default() += 1;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let unknown = json!({"fileId": i64::MAX, "status": "failed", "error": "x"}).to_string().into_bytes();
    produce(&partitions[0], vec![record(None, Some(unknown))]).await;
    *done.injected.entry("forged").or_default() += 1;
}

/// Doubles the partitions of `file.create`, up to twelve. Returns complaints about new ones that are not used in time.
pub async fn more_partitions(services: &Services) -> Vec<String> {
    let client = connect(services).await;
    let topic = format!("{}file.create", services.ground.prefix);
    let topics = timeout(LIMIT, client.list_topics()).await.expect("kafka answers").unwrap();
    let now = topics.iter().find(|known| known.name == topic).map_or(0, |known| known.partitions.len());
    if now >= 12 {
        return Vec::new();
    }
    let partitions = (2 * now).to_string();
    let alter = ["tool", "topics", "--alter", "--topic", &topic, "--partitions", &partitions];
    services.kafka.run(&alter).await;
    let since = Instant::now();
    let mut empty: Vec<i32> = (now..2 * now).filter_map(|number| i32::try_from(number).ok()).collect();
    while !empty.is_empty() && since.elapsed() < NEW_PARTITIONS {
        sleep(Duration::from_millis(500)).await;
        // A client knows the partitions that there were.
        let client = connect(services).await;
        let mut still = Vec::new();
        for number in empty {
            if !has_records(&client, &topic, number).await {
                still.push(number);
            }
        }
        empty = still;
    }
    let complaint = |number| format!("nothing came to {topic}-{number} within {NEW_PARTITIONS:?}");
    empty.into_iter().map(complaint).collect()
}

async fn has_records(client: &Client, topic: &str, partition: i32) -> bool {
    let partition = timeout(LIMIT, client.partition_client(topic, partition, UnknownTopicHandling::Error));
    // It takes a moment to be there.
    let Ok(partition) = partition.await.expect("kafka answers") else { return false };
    matches!(timeout(LIMIT, partition.get_offset(OffsetAt::Latest)).await, Ok(Ok(end)) if end > 0)
}
