//! Kafka, past the product: whole topics from the low to the high watermark, and the offsets that groups committed.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Failure;
use crate::evidence::Evidence;

const LIMIT: Duration = Duration::from_secs(30);
const FETCH_BYTES: i32 = 4 << 20;

pub const CREATE: &str = "file.create";
pub const CREATED: &str = "file.created";
pub const EVENTS: &str = "file.events";
pub const DEAD_LETTERS: &str = "file.create.dlq";

/// Partition and offset of a record.
pub type Place = (i32, i64);

/// Client of the cluster.
pub struct Log {
    client: Client,
    prefix: String,
    brokers: String,
    /// Partitions by topic, without the prefix.
    topics: BTreeMap<String, Vec<i32>>,
}

/// Offsets of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub low: i64,
    pub high: i64,
}

impl Log {
    pub async fn open(evidence: &Evidence) -> Result<Self, Failure> {
        let building = ClientBuilder::new(vec![evidence.kafka.clone()]).client_id("verifier").build();
        let client = timeout(LIMIT, building).await.map_err(|_| "Kafka does not answer")??;
        let listed = timeout(LIMIT, client.list_topics()).await.map_err(|_| "Kafka lists no topics")??;
        let own = listed.into_iter().filter_map(|topic| {
            let name = topic.name.strip_prefix(&evidence.kafka_prefix)?.to_owned();
            Some((name, topic.partitions.into_iter().collect()))
        });
        let topics = own.collect();
        Ok(Self { client, prefix: evidence.kafka_prefix.clone(), brokers: evidence.kafka.clone(), topics })
    }

    fn partitions(&self, topic: &str) -> Result<&[i32], Failure> {
        Ok(self.topics.get(topic).ok_or_else(|| format!("there is no topic {topic}"))?)
    }

    pub async fn partition(&self, topic: &str, partition: i32) -> Result<PartitionClient, Failure> {
        let name = format!("{}{topic}", self.prefix);
        let asking = self.client.partition_client(name, partition, UnknownTopicHandling::Error);
        Ok(timeout(LIMIT, asking).await.map_err(|_| "Kafka names no leader")??)
    }

    /// Time since which the log is complete, in milliseconds since 1970: records of files created later are all there.
    pub async fn is_whole_since(&self, log_lost: bool) -> Result<i64, Failure> {
        /// Margin for clocks that differ.
        const MARGIN: i64 = 2000;
        if !log_lost {
            return Ok(i64::MIN);
        }
        let mut begins = i64::MAX - MARGIN;
        for (topic, partitions) in &self.topics {
            for partition in partitions {
                let client = self.partition(topic, *partition).await?;
                let Ends { low, high } = ends_of(&client).await?;
                if low < high {
                    let first = fetch(&client, low, high).await?;
                    let first = first.first().map(|first| first.record.timestamp.timestamp_millis());
                    begins = begins.min(first.unwrap_or(begins));
                }
            }
        }
        Ok(begins + MARGIN)
    }

    pub async fn ends(&self, topic: &str) -> Result<BTreeMap<i32, Ends>, Failure> {
        let mut ends = BTreeMap::new();
        for partition in self.partitions(topic)? {
            ends.insert(*partition, ends_of(&self.partition(topic, *partition).await?).await?);
        }
        Ok(ends)
    }

    /// Reads every record of the topic, each partition in order, and returns their number. `read` runs for several
    /// partitions at once; its results are passed to `take`.
    pub async fn read<T: Send + 'static>(
        &self,
        topic: &str,
        read: impl Fn(Place, Record) -> T + Clone + Send + 'static,
        mut take: impl FnMut(T),
    ) -> Result<u64, Failure> {
        let (send, mut receive) = mpsc::channel::<Vec<T>>(8);
        let mut readers = JoinSet::new();
        for partition in self.partitions(topic)? {
            let client = self.partition(topic, *partition).await?;
            let (send, read, partition) = (send.clone(), read.clone(), *partition);
            readers.spawn(async move {
                let Ends { low, high } = ends_of(&client).await?;
                let mut next = low;
                while next < high {
                    let records = fetch(&client, next, high).await?;
                    let last = records.last().ok_or_else(|| format!("no record from {next} to {high}"))?;
                    next = last.offset + 1;
                    let read = |at: RecordAndOffset| read((partition, at.offset), at.record);
                    let batch = records.into_iter().map(read).collect();
                    send.send(batch).await.map_err(|_| "the checker has ended")?;
                }
                Ok::<(), Failure>(())
            });
        }
        drop(send);
        let mut count = 0;
        while let Some(batch) = receive.recv().await {
            count += u64::try_from(batch.len()).unwrap_or_default();
            batch.into_iter().for_each(&mut take);
        }
        while let Some(ended) = readers.join_next().await {
            ended??;
        }
        Ok(count)
    }

    /// Committed offsets of `group` by partition, where there are any.
    pub async fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, Failure> {
        let partitions = self.partitions(topic)?.to_vec();
        let (topic, group) = (format!("{}{topic}", self.prefix), format!("{}{group}", self.prefix));
        let brokers = self.brokers.clone();
        let asking = tokio::task::spawn_blocking(move || -> Result<_, Failure> {
            let asker: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .set("group.id", group)
                .set("enable.auto.commit", "false")
                .set("log_level", "2")
                .create()?;
            let mut wanted = TopicPartitionList::new();
            for partition in partitions {
                wanted.add_partition(&topic, partition);
            }
            let answer = asker.committed_offsets(wanted, LIMIT)?;
            let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
                let Offset::Offset(offset) = element.offset() else { return None };
                Some((element.partition(), offset))
            };
            Ok(answer.elements().iter().filter_map(offset).collect())
        });
        asking.await?
    }

    /// Describes the partitions of the topic that the group has not committed to their end.
    pub async fn lag(&self, group: &str, topic: &str) -> Result<Vec<String>, Failure> {
        let committed = self.committed(group, topic).await?;
        let ends = self.ends(topic).await?;
        let behind = ends.into_iter().filter_map(|(partition, Ends { low, high })| {
            let next = committed.get(&partition).copied();
            // An empty partition needs no commit.
            let is_done = next == Some(high) || (next.is_none() && low == high);
            (!is_done).then(|| {
                format!("{group} has committed {next:?} of {topic}-{partition}, which ends at {high}")
            })
        });
        Ok(behind.collect())
    }
}

async fn ends_of(client: &PartitionClient) -> Result<Ends, Failure> {
    let asking = async {
        let low = client.get_offset(OffsetAt::Earliest).await?;
        Ok::<_, Failure>(Ends { low, high: client.get_offset(OffsetAt::Latest).await? })
    };
    timeout(LIMIT, asking).await.map_err(|_| "Kafka tells no offsets")?
}

/// Fetches at least one record, unless there is none left.
async fn fetch(client: &PartitionClient, from: i64, until: i64) -> Result<Vec<RecordAndOffset>, Failure> {
    let fetching = client.fetch_records(from, 1..FETCH_BYTES, 1000);
    let (records, _) = timeout(LIMIT, fetching).await.map_err(|_| "Kafka gives no records")??;
    // A batch may begin before what was asked for.
    Ok(records.into_iter().filter(|record| (from..until).contains(&record.offset)).collect())
}

/// Returns the group that reads `file.create.dlq`, named after the group of serve.
pub fn dead_letters_group(evidence: &Evidence) -> String {
    let group = &evidence.serve_group;
    format!("{}-dead-letters", group.strip_suffix("-group").unwrap_or(group))
}

/// Groups with the topics that they read.
pub fn groups(evidence: &Evidence) -> [(String, &'static str); 3] {
    [
        (evidence.worker_group.clone(), CREATE),
        (evidence.serve_group.clone(), CREATED),
        (dead_letters_group(evidence), DEAD_LETTERS),
    ]
}
