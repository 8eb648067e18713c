//! Reads without a group: a range of records, and where each partition begins and ends.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{OffsetAt, PartitionClient};
use rskafka::record::RecordAndOffset;

use super::client::Client;
use super::{errors, limit};
use crate::broker::{BrokerError, Delivery, Position, Record, TopicPartition, Watermarks};

/// Of one fetch; a batch that is larger comes whole all the same.
const FETCH_BYTES: i32 = 1 << 20;

pub(super) async fn read(client: &Client, from: &Position, max: usize) -> Result<Vec<Delivery>, BrokerError> {
    if max == 0 {
        return Ok(Vec::new());
    }
    // Not left to `call_partition`: where topics may be made automatically, rskafka's question would make it.
    if from.partition >= client.partition_count(&from.topic).await? {
        return Err(BrokerError::UnknownTopic(from.topic.to_string()));
    }
    let records = client
        .call_partition(&from.topic_partition(), limit::READ, |partition| {
            read_partition(partition, from.offset, max)
        })
        .await?;
    let deliveries = records.into_iter().map(|read| to_delivery(from, read));
    Ok(deliveries.collect())
}

async fn read_partition(
    partition: Arc<PartitionClient>,
    from: i64,
    max: usize,
) -> Result<Vec<RecordAndOffset>, Error> {
    let mut records: Vec<RecordAndOffset> = Vec::new();
    let mut next = from.max(0);
    while records.len() < max {
        let (fetched, high) = match partition.fetch_records(next, 1..FETCH_BYTES, 0).await {
            Ok(fetched) => fetched,
            Err(error) if errors::protocol_error(&error) == Some(ProtocolError::OffsetOutOfRange) => {
                // Either retention took the records, then go on with the oldest kept, or there are none yet.
                let low = partition.get_offset(OffsetAt::Earliest).await?;
                if next >= low {
                    break;
                }
                next = low;
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(last) = fetched.last() else { break };
        next = last.offset + 1;
        records.extend(fetched);
        if next >= high {
            break;
        }
    }
    records.truncate(max);
    Ok(records)
}

pub(super) async fn watermarks(client: &Client, topic: &str) -> Result<Vec<Watermarks>, BrokerError> {
    let partitions = client.partition_count(topic).await?;
    let topic: Arc<str> = topic.into();
    let of_one = async |partition: i32| {
        let at = TopicPartition { topic: Arc::clone(&topic), partition };
        client
            .call_partition(&at, limit::READ, async |client: Arc<PartitionClient>| {
                Ok(Watermarks {
                    partition,
                    low: client.get_offset(OffsetAt::Earliest).await?,
                    high: client.get_offset(OffsetAt::Latest).await?,
                })
            })
            .await
    };
    try_join_all((0..partitions).map(of_one)).await
}

fn to_delivery(from: &Position, read: RecordAndOffset) -> Delivery {
    let headers = read.record.headers.into_iter();
    Delivery {
        position: Position { topic: Arc::clone(&from.topic), partition: from.partition, offset: read.offset },
        timestamp_ms: read.record.timestamp.timestamp_millis(),
        record: Record {
            key: read.record.key.map(Bytes::from),
            value: read.record.value.map(Bytes::from),
            headers: headers.map(|(name, value)| (name, Bytes::from(value))).collect(),
        },
    }
}
