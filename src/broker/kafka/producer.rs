//! Publishing: each record goes to the queue of its partition; one without a key to a partition that answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::client::Client;
use super::librdkafka_producer::LibrdkafkaProducer;
use super::partition_queue::{PartitionQueue, Pending, TopicQueues};
use super::prefix::Prefix;
use super::{limits, partition_sender, size};
use crate::broker::{BrokerError, Receipt, Record, TopicPartition};
use crate::config::KafkaConfig;

/// Producer of all topics. Dropping it ends the senders' tasks.
pub(super) struct Producer {
    client: Arc<Client>,
    prefix: Prefix,
    librdkafka: LibrdkafkaProducer,
    topics: Mutex<HashMap<Arc<str>, Arc<TopicQueues>>>,
    senders: Mutex<JoinSet<()>>,
}

impl Producer {
    /// Makes a producer whose senders start with their first record.
    pub fn new(client: Arc<Client>, config: &Arc<KafkaConfig>, prefix: Prefix) -> Self {
        let librdkafka = LibrdkafkaProducer::new(Arc::clone(config));
        Self { client, prefix, librdkafka, topics: Mutex::default(), senders: Mutex::default() }
    }

    /// Queues records for their partitions; returns a receipt for each, in order.
    pub async fn send(&self, topic: &str, records: Vec<Record>) -> Vec<Receipt> {
        let partitions = match self.client.partition_count(topic).await {
            Ok(partitions) => partitions,
            Err(error) => return records.iter().map(|_| Receipt::known(Err(error.clone()))).collect(),
        };
        let topic = self.topic(topic);
        let deadline = Instant::now() + limits::PUBLISH_TIMEOUT;
        let mut receipts = Vec::with_capacity(records.len());
        // One after the other, so that records of a partition enter its queue in the order given.
        for record in records {
            let receipt = self.enqueue(&topic, partitions, record, deadline).await;
            receipts.push(receipt.unwrap_or_else(|error| Receipt::known(Err(error))));
        }
        receipts
    }

    fn topic(&self, name: &str) -> Arc<TopicQueues> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Arc::clone(topic);
        }
        let topic = Arc::new(TopicQueues::new(name));
        topics.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        topic
    }

    async fn enqueue(
        &self,
        topic: &Arc<TopicQueues>,
        partitions: i32,
        record: Record,
        deadline: Instant,
    ) -> Result<Receipt, BrokerError> {
        let bytes = size(&record);
        if bytes > limits::MAX_RECORD_BYTES {
            return Err(BrokerError::Rejected(format!(
                "{bytes} bytes are more than the {} a record may have",
                limits::MAX_RECORD_BYTES
            )));
        }
        let partition = topic.place(&record, partitions);
        if !record.headers.are_plain() {
            let at = TopicPartition { topic: Arc::clone(&topic.name), partition };
            let name = self.prefix.add(&topic.name);
            return Ok(Receipt::waiting(self.librdkafka.publish(&name, at, &record)));
        }
        let (reply, outcome) = oneshot::channel();
        let PartitionQueue { records, health } = self.queue(topic, partition);
        let pending = match records.try_send(Pending { record, reply, deadline }) {
            Ok(()) => return Ok(Receipt::waiting(outcome)),
            // Waiting would hold up the caller's records for healthy partitions behind this one.
            Err(TrySendError::Full(_)) if health.has_failed() => {
                let why = format!("{}-{partition}: too many records wait for it", topic.name);
                return Err(BrokerError::PartitionUnavailable(why));
            }
            Err(TrySendError::Full(pending) | TrySendError::Closed(pending)) => pending,
        };
        match timeout_at(deadline, records.send(pending)).await {
            Ok(Ok(())) => Ok(Receipt::waiting(outcome)),
            Ok(Err(_)) => Err(unavailable("the publishing task ended")),
            Err(_) => Err(unavailable("too many records wait to be published")),
        }
    }

    /// Returns the partition's queue, and starts its sender where there is none.
    fn queue(&self, topic: &Arc<TopicQueues>, partition: i32) -> PartitionQueue {
        let mut queues = topic.lock();
        let index = usize::try_from(partition).unwrap_or_default();
        if queues.len() <= index {
            queues.resize_with(index + 1, || None);
        }
        // A sender ends early when the runtime that it was started in ends; the HTTP server has several.
        if let Some(queue) = queues[index].as_ref().filter(|queue| !queue.records.is_closed()) {
            return queue.clone();
        }
        let (sender, records) = mpsc::channel(limits::MAX_QUEUED_RECORDS);
        let queue = PartitionQueue { records: sender, health: Arc::default() };
        let at = TopicPartition { topic: Arc::clone(&topic.name), partition };
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        while senders.try_join_next().is_some() {}
        senders.spawn(partition_sender::run(
            Arc::clone(&self.client),
            Arc::clone(topic),
            at,
            records,
            Arc::clone(&queue.health),
        ));
        queues[index] = Some(queue.clone());
        queue
    }
}

fn unavailable(why: &str) -> BrokerError {
    BrokerError::Unavailable(why.to_owned())
}
