//! Consumer-group membership through librdkafka, on one thread for each member. Nothing else uses rdkafka.

mod committed;
mod context;
mod inbox;
mod member;
mod skip;

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

pub(super) use self::committed::committed;
use self::context::{Context, Shared};
use self::member::KafkaMember;
use crate::broker::kafka::decode::{self, Signal};
use crate::broker::kafka::prefix::Prefix;
use crate::broker::kafka::security;
use crate::broker::{BrokerError, Delivery, Membership, Position, TopicPartition};
use crate::config::KafkaConfig;
use crate::telemetry::Outage;

/// Bounds how late leaving is noticed.
const POLL: Duration = Duration::from_millis(100);
/// Bounds how late room in the inbox is noticed.
const POLL_WHILE_PAUSED: Duration = Duration::from_millis(5);
/// How long a full inbox is waited for before anything is paused. librdkafka 2.12 needs up to a second to notice that its
/// partitions are resumed: an inbox that had room sooner would be empty by then. So late a rebalance may be noticed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bounds how late the end of a rebalance is noticed.
const POLL_WHILE_LEAVING: Duration = Duration::from_millis(5);
/// Among members that live: a heartbeat, and the second that librdkafka keeps between two joins. Nobody waits for a
/// stand-by's work, so its end may take as long.
const REBALANCE_AT_MOST: Duration = Duration::from_secs(2);
/// Between two tries to make a consumer.
const TAKE_AGAIN: Duration = Duration::from_secs(1);
/// While brokers are away: how often they are asked, and how long the question may keep the thread from polling.
const PROBE_EVERY: Duration = Duration::from_millis(500);
const PROBE_LIMIT: Duration = Duration::from_millis(100);

/// Bytes. What is larger can't be read and becomes a dead letter without its value.
const LARGEST_BATCH: &str = "33554432";

/// Heartbeats tell the members that one has joined or left, so this is how long a hand-over takes.
const HEARTBEAT_AT_MOST: Duration = Duration::from_millis(500);
/// The thread polls whatever the application does, so only a revocation's reply counts against this.
const POLL_INTERVAL_AT_LEAST: Duration = Duration::from_mins(5);

/// Joins as soon as the brokers can be reached.
pub(super) fn join(
    config: &Arc<KafkaConfig>,
    prefix: &Prefix,
    outage: Arc<Outage>,
    membership: Membership,
) -> Result<KafkaMember, BrokerError> {
    let shared = Shared { inbox: Arc::default(), prefix: prefix.clone(), outage, troubles: Arc::default() };
    let client_id = membership.client_id.clone();
    let seat = Seat { config: Arc::clone(config), shared, membership, current: Arc::default() };
    let consumer = seat.take()?;
    let (ended, has_ended) = oneshot::channel();
    let inbox = Arc::clone(&seat.shared.inbox);
    let member = KafkaMember::new(Arc::clone(&seat.current), inbox, has_ended, &client_id)?;
    thread::Builder::new()
        .name(client_id)
        .spawn(move || run(&seat, consumer, ended))
        .map_err(|error| BrokerError::Unavailable(format!("no thread for the group member: {error}")))?;
    Ok(member)
}

/// A place in the group. librdkafka's consumer may be replaced by another.
struct Seat {
    config: Arc<KafkaConfig>,
    shared: Shared,
    membership: Membership,
    current: Arc<Current>,
}

/// The consumer, for who commits. Its end leaves the group, so only the polling thread keeps it.
#[derive(Default)]
struct Current(Mutex<Weak<BaseConsumer<Context>>>);

impl Current {
    fn get(&self) -> Option<Arc<BaseConsumer<Context>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn set(&self, consumer: &Arc<BaseConsumer<Context>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(consumer);
    }
}

impl Seat {
    fn take(&self) -> Result<Arc<BaseConsumer<Context>>, BrokerError> {
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
        // Off, always: an offset is committed when its work is done, never because it was fetched.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        // As Kafka's own consumers: what a disk has garbled is no record.
        .set("check.crcs", "true")
        // Tells how far a partition is read where its end is no record: transaction markers, compaction.
        .set("enable.partition.eof", "true")
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
        // The largest answer, and what a batch may be decompressed to: a few kilobytes can be anything.
        .set("receive.message.max.bytes", LARGEST_BATCH)
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("socket.timeout.ms", "6000")
        .set("socket.connection.setup.timeout.ms", "3000")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        .set("log.connection.close", "false")
        // For `Context::log`.
        .set("debug", "topic")
        .set_log_level(RDKafkaLogLevel::Debug);
    security::librdkafka(&mut settings, config);
    settings
}

/// Runs the member until it is left or dropped. `_ended` tells by being dropped.
fn run(seat: &Seat, mut consumer: Arc<BaseConsumer<Context>>, _ended: oneshot::Sender<()>) {
    while poll(seat, &consumer) == Why::TopicReplaced {
        log::warn!(group = seat.membership.group; "a topic was made anew; joining the group anew");
        while Arc::strong_count(&consumer) > 1 {
            // A commit under way: leaving first keeps the order of what is told to the application.
            thread::sleep(POLL_WHILE_PAUSED);
        }
        drop(consumer);
        consumer = loop {
            match seat.take() {
                Ok(consumer) => break consumer,
                Err(_) if seat.shared.inbox.is_closed() => return,
                Err(error) => seat.shared.inbox.trouble(error),
            }
            thread::sleep(TAKE_AGAIN);
        };
    }
    leave(consumer);
}

/// Closing says goodbye along with giving partitions back. For a member that has none librdkafka 2.12 leaves it out
/// (cooperative assignors), and each rebalance of the others would wait for us until the session timeout.
fn leave(consumer: Arc<BaseConsumer<Context>>) {
    let before = consumer.context().rebalances();
    let stands_by = before > 0 && consumer.assignment().is_ok_and(|partitions| partitions.count() == 0);
    if stands_by {
        // Says goodbye: at once, or when a rebalance ends that is under way, which closing would cut short.
        consumer.unsubscribe();
        let until = Instant::now() + REBALANCE_AT_MOST;
        while consumer.context().rebalances() == before && Instant::now() < until {
            consumer.poll(POLL_WHILE_LEAVING);
        }
    }
    // Waits for the coordinator's answer, unless a commit is under way: then that one's end does.
    drop(consumer);
}

/// Why polling ended.
#[derive(PartialEq, Eq)]
enum Why {
    Left,
    TopicReplaced,
}

fn poll(seat: &Seat, consumer: &Arc<BaseConsumer<Context>>) -> Why {
    let context = Arc::clone(consumer.context());
    let inbox = &context.shared.inbox;
    let mut given = Given::default();
    let mut probed = Instant::now();
    let mut full_since = None;
    while !inbox.is_closed() {
        if context.is_topic_replaced() {
            return Why::TopicReplaced;
        }
        inbox.set_joined(context.is_joined(consumer));
        let is_paused = !context.paused().is_empty();
        if inbox.has_room() {
            full_since = None;
            if is_paused {
                context.resume_all(consumer);
            }
        }
        if full_since.is_some_and(|since: Instant| since.elapsed() < PATIENCE) {
            thread::sleep(POLL_WHILE_PAUSED);
            continue;
        }
        let wait = if is_paused { POLL_WHILE_PAUSED } else { POLL };
        if context.are_brokers_away() && probed.elapsed() >= PROBE_EVERY {
            context.probe(consumer, PROBE_LIMIT);
            probed = Instant::now();
        }
        given.rebalanced(context.rebalances());
        if take_what_is_there(seat, consumer, &mut given, wait, full_since.is_some()) {
            full_since.get_or_insert_with(Instant::now);
        }
    }
    Why::Left
}

/// The next offset of each partition, after what was given since the last rebalance.
#[derive(Default)]
struct Given {
    next: HashMap<TopicPartition, i64>,
    rebalances: usize,
}

impl Given {
    fn rebalanced(&mut self, rebalances: usize) {
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

/// What came together is told together. Whether the inbox is full now; the partition that filled it is then paused, if
/// that is wanted.
fn take_what_is_there(
    seat: &Seat,
    consumer: &Arc<BaseConsumer<Context>>,
    given: &mut Given,
    mut wait: Duration,
    pause: bool,
) -> bool {
    let context = consumer.context();
    let inbox = &context.shared.inbox;
    let mut is_full = false;
    while !is_full && let Some(answer) = consumer.poll(wait) {
        wait = Duration::ZERO;
        let delivery = match answer {
            Ok(message) => to_delivery(context, &message),
            // Errors were told to the context.
            Err(error) => match (context.take_signal(), error) {
                (Some(Signal::End(end)), KafkaError::PartitionEOF(partition)) => {
                    if let Some(topic) = context.only_topic() {
                        tell_end(inbox, given, TopicPartition { topic, partition }, end);
                    }
                    continue;
                }
                (Some(Signal::Undecodable { offset, cause }), _) => {
                    let next = |at: &TopicPartition| given.next.get(at).copied();
                    match skip::skip(&seat.config, consumer, offset, cause, next) {
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
        given.record(&partition, next);
        is_full = inbox.offer(delivery);
        if is_full && pause {
            context.pause(consumer, partition);
        }
    }
    inbox.wake();
    is_full
}

/// Only where more lies behind the last record than was given.
fn tell_end(inbox: &inbox::Inbox, given: &mut Given, at: TopicPartition, end: i64) {
    if given.next.get(&at).copied().unwrap_or(0) < end {
        given.record(&at, end);
        inbox.passed(Position { topic: at.topic, partition: at.partition, offset: end });
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
