//! Writes to Kafka what a trial needs there: records, and offsets in the name of a group that has no members.

use std::collections::BTreeMap;

use chrono::Utc;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rskafka::client::partition::Compression;
use rskafka::record::Record;

use crate::evidence::Evidence;
use crate::verify::Failure;
use crate::verify::log::{EVENTS, Log, Place, groups};

/// Partition that all trials write to.
const PARTITION: i32 = 0;

pub(super) struct LogWriter {
    pub log: Log,
    evidence: Evidence,
}

impl LogWriter {
    pub async fn of(evidence: &Evidence) -> Result<Self, Failure> {
        Ok(Self { log: Log::open(evidence).await?, evidence: evidence.clone() })
    }

    /// Appends a record and returns its place.
    pub async fn append(&self, topic: &str, record: Record) -> Result<Place, Failure> {
        let partition = self.log.partition(topic, PARTITION).await?;
        let offsets = partition.produce(vec![record], Compression::NoCompression).await?;
        Ok((PARTITION, *offsets.first().ok_or("no offset")?))
    }

    /// Appends a record that the topic's group has committed.
    pub async fn append_done(&self, topic: &str, record: Record) -> Result<Place, Failure> {
        let place = self.append(topic, record).await?;
        if topic != EVENTS {
            self.commit(topic, place).await?;
        }
        Ok(place)
    }

    /// Commits everything up to this place in the name of the topic's group.
    pub async fn commit(&self, topic: &str, (partition, offset): Place) -> Result<(), Failure> {
        let groups = groups(&self.evidence);
        let (group, _) = groups.iter().find(|(_, of)| *of == topic).ok_or("no group reads it")?;
        let prefix = &self.evidence.kafka_prefix;
        let (topic, group) = (format!("{prefix}{topic}"), format!("{prefix}{group}"));
        let brokers = self.evidence.kafka.clone();
        let committing = tokio::task::spawn_blocking(move || -> Result<(), Failure> {
            let member: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .set("group.id", group)
                .set("enable.auto.commit", "false")
                .create()?;
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition_offset(&topic, partition, Offset::Offset(offset + 1))?;
            Ok(member.commit(&offsets, CommitMode::Sync)?)
        });
        committing.await?
    }

    /// Finds the first record of the topic that is `wanted`.
    pub async fn find(
        &self,
        topic: &str,
        wanted: impl Fn(&Record) -> bool + Clone + Send + 'static,
    ) -> Result<Record, Failure> {
        let mut found = None;
        let read = move |_, record: Record| wanted(&record).then_some(record);
        self.log.read(topic, read, |record| found = found.take().or(record)).await?;
        found.ok_or_else(|| format!("what the trial needs is not on {topic}").into())
    }
}

pub(super) fn record(value: &[u8], headers: &[(&str, String)]) -> Record {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes()));
    Record {
        key: None,
        value: Some(value.to_vec()),
        headers: headers.collect::<BTreeMap<_, _>>(),
        timestamp: Utc::now(),
    }
}

pub(super) fn with_event(mut record: Record, id: &str) -> Record {
    record.headers.insert("event-id".to_owned(), id.as_bytes().to_vec());
    record
}
