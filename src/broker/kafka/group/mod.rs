//! Consumer-group membership through librdkafka, on one thread for each member. Nothing else uses rdkafka.

mod context;
mod inbox;
mod member;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::sync::oneshot;

use self::context::Context;
use self::inbox::Inbox;
use self::member::KafkaMember;
use crate::broker::kafka::security;
use crate::broker::{BrokerError, Delivery, Membership, Position, Record};
use crate::config::KafkaConfig;

/// Bounds how late leaving is noticed.
const POLL: Duration = Duration::from_millis(100);
/// Bounds how late room in the inbox is noticed.
const POLL_WHILE_PAUSED: Duration = Duration::from_millis(5);

/// Heartbeats tell the members that one has joined or left, so this is how long a hand-over takes.
const HEARTBEAT_AT_MOST: Duration = Duration::from_millis(500);
/// The thread polls whatever the application does, so only a revocation's reply counts against this.
const POLL_INTERVAL_AT_LEAST: Duration = Duration::from_mins(5);

/// Joins as soon as the brokers can be reached.
pub(super) fn join(config: &KafkaConfig, membership: Membership) -> Result<KafkaMember, BrokerError> {
    let refused = |error: rdkafka::error::KafkaError| BrokerError::Configuration(error.to_string());
    let inbox = Arc::new(Inbox::default());
    let context = Context::new(Arc::clone(&inbox), &membership.topics, membership.session_timeout);
    let consumer: BaseConsumer<Context> =
        settings(config, &membership).create_with_context(context).map_err(refused)?;
    let topics: Vec<&str> = membership.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(refused)?;

    let consumer = Arc::new(consumer);
    let (ended, has_ended) = oneshot::channel();
    let member = KafkaMember::new(Arc::downgrade(&consumer), inbox, has_ended, &membership.client_id)?;
    thread::Builder::new()
        .name(membership.client_id)
        .spawn(move || run(consumer, ended))
        .map_err(|error| BrokerError::Unavailable(format!("no thread for the group member: {error}")))?;
    Ok(member)
}

fn settings(config: &KafkaConfig, membership: &Membership) -> ClientConfig {
    let session = membership.session_timeout;
    let ms = |duration: Duration| duration.as_millis().to_string();
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", config.brokers.join(","))
        .set("client.id", &membership.client_id)
        .set("group.id", &membership.group)
        // Off, always: an offset is committed when its work is done, never because it was fetched.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", ms(session))
        .set("heartbeat.interval.ms", ms((session / 3).min(HEARTBEAT_AT_MOST)))
        .set("max.poll.interval.ms", ms(session.max(POLL_INTERVAL_AT_LEAST)))
        // How soon added partitions and topics that come late are noticed.
        .set("topic.metadata.refresh.interval.ms", "5000")
        // A fetch answers at once when there are records; this is how long an idle one holds the connection,
        // and so how late a partition that is new to us may be asked for.
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "20")
        // Memory: fetched ahead, of each partition.
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", "4096")
        .set("fetch.max.bytes", "8388608")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("socket.timeout.ms", "10000")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        .set("log.connection.close", "false");
    security::librdkafka(&mut settings, config);
    settings
}

/// Polls until the member is left or dropped. `_ended` tells by being dropped.
fn run(consumer: Arc<BaseConsumer<Context>>, _ended: oneshot::Sender<()>) {
    let context = Arc::clone(consumer.context());
    while !context.inbox.is_closed() {
        let is_paused = !context.paused().is_empty();
        if is_paused && context.inbox.has_room() {
            context.resume_all(&consumer);
        }
        let wait = if is_paused { POLL_WHILE_PAUSED } else { POLL };
        // Errors were told to the context.
        if let Some(Ok(message)) = consumer.poll(wait) {
            let delivery = to_delivery(&context, &message);
            let partition = delivery.position.topic_partition();
            if context.inbox.offer(delivery) {
                context.pause(&consumer, partition);
            }
        }
    }
    // Leaves the group, unless a commit is under way: then that one's end does.
    drop(consumer);
}

fn to_delivery(context: &Context, message: &BorrowedMessage<'_>) -> Delivery {
    Delivery {
        position: Position {
            topic: context.topic(message.topic()),
            partition: message.partition(),
            offset: message.offset(),
        },
        record: Record {
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers: message
                .headers()
                .map(|headers| {
                    let named = (0..headers.count()).filter_map(|index| {
                        // rdkafka panics on a name that is not UTF-8; such a header is left out.
                        let header = catch_unwind(AssertUnwindSafe(|| headers.get(index))).ok()?;
                        let value = header.value.map(Bytes::copy_from_slice);
                        Some((header.key.to_owned(), value.unwrap_or_default()))
                    });
                    named.collect()
                })
                .unwrap_or_default(),
        },
    }
}

fn offset_list<'a>(offsets: impl IntoIterator<Item = &'a Position>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for next in offsets {
        list.add_partition_offset(&next.topic, next.partition, Offset::Offset(next.offset))?;
    }
    Ok(list)
}
