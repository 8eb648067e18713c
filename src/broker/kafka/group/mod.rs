//! Consumer-group membership through librdkafka, on one thread for each member.

mod committed_offsets;
mod context;
mod inbox;
mod member;
mod undecodable_batch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::sync::oneshot;

pub(super) use self::committed_offsets::committed;
use self::context::{Context, Shared};
use self::member::KafkaMember;
use crate::broker::kafka::decode::{self, Signal};
use crate::broker::kafka::prefix::Prefix;
use crate::broker::kafka::{limits, security};
use crate::broker::{BrokerError, Delivery, Membership, Position, TopicPartition};
use crate::config::KafkaConfig;
use crate::telemetry::Outage;

/// Starts a member of a group. It joins as soon as the brokers can be reached.
pub(super) fn join(
    config: &Arc<KafkaConfig>,
    prefix: &Prefix,
    outage: Arc<Outage>,
    membership: Membership,
) -> Result<KafkaMember, BrokerError> {
    let shared =
        Shared { inbox: Arc::default(), prefix: prefix.clone(), outage, recent_errors: Arc::default() };
    let client_id = membership.client_id.clone();
    let subscription =
        Subscription { config: Arc::clone(config), shared, membership, current: Arc::default() };
    let consumer = subscription.subscribe()?;
    let (ended, has_ended) = oneshot::channel();
    let inbox = Arc::clone(&subscription.shared.inbox);
    // The member's threads are named after the client, so that stack traces and `top -H` tell them apart.
    let member = KafkaMember::new(Arc::clone(&subscription.current), inbox, has_ended, &client_id)?;
    thread::Builder::new()
        .name(client_id)
        .spawn(move || run(&subscription, consumer, ended))
        .map_err(|error| BrokerError::Unavailable(format!("no thread for the group member: {error}")))?;
    Ok(member)
}

/// Subscription of a member: all that is needed to make its consumer, and to replace it by another.
struct Subscription {
    config: Arc<KafkaConfig>,
    shared: Shared,
    membership: Membership,
    current: Arc<CurrentConsumer>,
}

/// Present consumer, for the thread that commits. A weak reference: dropping the consumer leaves the group, which is up
/// to the polling thread.
#[derive(Default)]
struct CurrentConsumer(Mutex<Weak<BaseConsumer<Context>>>);

impl CurrentConsumer {
    fn get(&self) -> Option<Arc<BaseConsumer<Context>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn set(&self, consumer: &Arc<BaseConsumer<Context>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(consumer);
    }
}

impl Subscription {
    /// Makes a consumer and subscribes it to the topics.
    fn subscribe(&self) -> Result<Arc<BaseConsumer<Context>>, BrokerError> {
        let refused = |error: KafkaError| BrokerError::Configuration(error.to_string());
        let Self { config, shared, membership, current } = self;
        let context = Context::new(shared.clone(), membership);
        let consumer: BaseConsumer<Context> =
            settings(config, &shared.prefix, membership).create_with_context(context).map_err(refused)?;
        let topics: Vec<String> = membership.topics.iter().map(|topic| shared.prefix.add(topic)).collect();
        consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>()).map_err(refused)?;
        let consumer = Arc::new(consumer);
        current.set(&consumer);
        Ok(consumer)
    }
}

fn settings(config: &KafkaConfig, prefix: &Prefix, membership: &Membership) -> ClientConfig {
    let session = membership.session_timeout;
    let ms = |duration: Duration| duration.as_millis().to_string();
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", config.brokers.join(","))
        .set("client.id", &membership.client_id)
        .set("group.id", prefix.add(&membership.group))
        // Never on: an offset is committed when its record is finished, not because it was fetched.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        // As Kafka's own consumers do: records that a disk has corrupted are not delivered.
        .set("check.crcs", "true")
        // Reports the end of a partition that does not end with a record: transaction markers, compaction.
        .set("enable.partition.eof", "true")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", ms(session))
        .set("heartbeat.interval.ms", ms((session / 3).min(limits::MAX_HEARTBEAT_INTERVAL)))
        .set("max.poll.interval.ms", ms(session.max(limits::MIN_MAX_POLL_INTERVAL)))
        // Bounds how late added partitions and topics are noticed.
        .set("topic.metadata.refresh.interval.ms", "5000")
        // A fetch returns at once when there are records. An idle one keeps the connection busy for this long, and so
        // delays the first fetch of a newly assigned partition.
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "20")
        // Memory bound of what is fetched ahead of each partition.
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", "4096")
        .set("fetch.max.bytes", "8388608")
        // Bounds the largest answer, and what a batch may be decompressed to: a few kilobytes can expand to gigabytes.
        .set("receive.message.max.bytes", limits::MAX_READ_BATCH_BYTES)
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("socket.timeout.ms", "6000")
        .set("socket.connection.setup.timeout.ms", "3000")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        .set("log.connection.close", "false")
        // `Context::log` looks for one of its lines.
        .set("debug", "topic")
        .set_log_level(RDKafkaLogLevel::Debug);
    security::librdkafka(&mut settings, config);
    settings
}

/// Runs the member until it is left or dropped. Dropping `_ended` reports the end.
fn run(subscription: &Subscription, mut consumer: Arc<BaseConsumer<Context>>, _ended: oneshot::Sender<()>) {
    while poll(subscription, &consumer) == PollEnd::TopicReplaced {
        log::warn!(group = subscription.membership.group; "a topic was recreated; rejoining the group");
        while Arc::strong_count(&consumer) > 1 {
            // Waits for a commit in flight: the old consumer must have left before the new one reports assignments.
            thread::sleep(limits::PAUSED_POLL_TIMEOUT);
        }
        drop(consumer);
        consumer = loop {
            match subscription.subscribe() {
                Ok(consumer) => break consumer,
                Err(_) if subscription.shared.inbox.is_closed() => return,
                Err(error) => subscription.shared.inbox.error(error),
            }
            thread::sleep(limits::RESUBSCRIBE_PAUSE);
        };
    }
    leave(consumer);
}

/// Leaves the group. librdkafka 2.12 tells the coordinator only as part of releasing partitions (cooperative
/// assignors): a member without any would be missed at the session timeout only, and delay every rebalance until then.
fn leave(consumer: Arc<BaseConsumer<Context>>) {
    let before = consumer.context().rebalances();
    let stands_by = before > 0 && consumer.assignment().is_ok_and(|partitions| partitions.count() == 0);
    if stands_by {
        // Tells the coordinator, at once or when the current rebalance ends, which closing would cut short.
        consumer.unsubscribe();
        let until = Instant::now() + limits::LEAVING_REBALANCE_TIMEOUT;
        while consumer.context().rebalances() == before && Instant::now() < until {
            consumer.poll(limits::LEAVING_POLL_TIMEOUT);
        }
    }
    // Blocks until the coordinator has answered, unless a commit in flight holds the last reference.
    drop(consumer);
}

/// Reason why polling ended.
#[derive(PartialEq, Eq)]
enum PollEnd {
    Left,
    TopicReplaced,
}

/// Polls librdkafka and fills the inbox until the member is left or a topic is recreated.
fn poll(subscription: &Subscription, consumer: &Arc<BaseConsumer<Context>>) -> PollEnd {
    let context = Arc::clone(consumer.context());
    let inbox = &context.shared.inbox;
    let mut delivered = DeliveredOffsets::default();
    let mut probed = Instant::now();
    let mut full_since = None;
    while !inbox.is_closed() {
        if context.is_topic_replaced() {
            return PollEnd::TopicReplaced;
        }
        // Read by the health check; librdkafka can be asked on this thread only.
        inbox.set_joined(context.is_joined(consumer));
        let is_paused = !context.paused().is_empty();
        if inbox.has_capacity() {
            full_since = None;
            if is_paused {
                context.resume_all(consumer);
            }
        }
        // A full inbox is waited for before a partition is paused: pausing drops what librdkafka has fetched ahead.
        if full_since.is_some_and(|since: Instant| since.elapsed() < limits::PAUSE_AFTER) {
            thread::sleep(limits::PAUSED_POLL_TIMEOUT);
            continue;
        }
        let wait = if is_paused { limits::PAUSED_POLL_TIMEOUT } else { limits::POLL_TIMEOUT };
        if context.are_brokers_down() && probed.elapsed() >= limits::BROKER_PROBE_INTERVAL {
            context.probe(consumer, limits::BROKER_PROBE_TIMEOUT);
            probed = Instant::now();
        }
        delivered.on_rebalances(context.rebalances());
        if poll_available(subscription, consumer, &mut delivered, wait, full_since.is_some()) {
            full_since.get_or_insert_with(Instant::now);
        }
    }
    PollEnd::Left
}

/// Next offset of each partition behind what was delivered since the last rebalance.
#[derive(Default)]
struct DeliveredOffsets {
    next: HashMap<TopicPartition, i64>,
    rebalances: usize,
}

impl DeliveredOffsets {
    /// Forgets all offsets after a rebalance: partitions that come back begin at their committed offset.
    fn on_rebalances(&mut self, rebalances: usize) {
        if self.rebalances != rebalances {
            self.rebalances = rebalances;
            self.next.clear();
        }
    }

    fn record(&mut self, partition: &TopicPartition, next: i64) {
        match self.next.get_mut(partition) {
            Some(known) => *known = next,
            None => _ = self.next.insert(partition.clone(), next),
        }
    }
}

/// Moves all records that librdkafka has into the inbox, and wakes the member once for all of them. Returns whether the
/// inbox is full; with `pause`, the partition that filled it is then paused.
fn poll_available(
    subscription: &Subscription,
    consumer: &Arc<BaseConsumer<Context>>,
    delivered: &mut DeliveredOffsets,
    mut wait: Duration,
    pause: bool,
) -> bool {
    let context = consumer.context();
    let inbox = &context.shared.inbox;
    let mut is_full = false;
    while !is_full && let Some(answer) = consumer.poll(wait) {
        // Only the first poll waits: records that have come together are delivered together.
        wait = Duration::ZERO;
        let delivery = match answer {
            Ok(message) => to_delivery(context, &message),
            // The context was given the error's text before.
            Err(error) => match (context.take_signal(), error) {
                (Some(Signal::End(end)), KafkaError::PartitionEOF(partition)) => {
                    if let Some(topic) = context.only_topic() {
                        report_end(inbox, delivered, TopicPartition { topic, partition }, end);
                    }
                    continue;
                }
                (Some(Signal::Undecodable { offset, cause }), _) => {
                    let next = |at: &TopicPartition| delivered.next.get(at).copied();
                    match undecodable_batch::skip(&subscription.config, consumer, offset, cause, next) {
                        Some(delivery) => delivery,
                        None => break,
                    }
                }
                (Some(Signal::End(_)) | None, _) => break,
            },
        };
        let partition = delivery.position.topic_partition();
        let next =
            delivery.undecodable.as_ref().map_or(delivery.position.offset + 1, |batch| batch.next_offset);
        delivered.record(&partition, next);
        is_full = inbox.push(delivery);
        if is_full && pause {
            context.pause(consumer, partition);
        }
    }
    inbox.wake();
    is_full
}

/// Reports the end of a partition, unless the last record delivered reaches up to it.
fn report_end(inbox: &inbox::Inbox, delivered: &mut DeliveredOffsets, at: TopicPartition, end: i64) {
    if delivered.next.get(&at).copied().unwrap_or(0) < end {
        delivered.record(&at, end);
        inbox.end_reached(Position { topic: at.topic, partition: at.partition, offset: end });
    }
}

fn to_delivery(context: &Context, message: &BorrowedMessage<'_>) -> Delivery {
    Delivery {
        position: Position {
            topic: context.topic(message.topic()),
            partition: message.partition(),
            offset: message.offset(),
        },
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        record: decode::record(message),
        undecodable: None,
    }
}

fn offset_list<'a>(
    prefix: &Prefix,
    offsets: impl IntoIterator<Item = &'a Position>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for next in offsets {
        list.add_partition_offset(&prefix.add(&next.topic), next.partition, Offset::Offset(next.offset))?;
    }
    Ok(list)
}
