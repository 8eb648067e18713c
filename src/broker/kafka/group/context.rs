//! librdkafka's callbacks on the member's thread: assignments, revocations, errors, logs.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::inbox::Inbox;
use super::offset_list;
use crate::broker::kafka::decode::{self, Signal};
use crate::broker::kafka::errors;
use crate::broker::kafka::limits;
use crate::broker::kafka::prefix::Prefix;
use crate::broker::{BrokerError, Membership, Position, TopicPartition};
use crate::telemetry::Outage;

/// Line of librdkafka's debug log by which a recreated topic is noticed. Such a topic begins with lower leader epochs
/// than librdkafka remembers, so that it ignores all metadata of the topic as outdated, for ever, and reports it in its
/// debug log only (2.12, `rd_kafka_toppar_leader_update`).
const STALE_METADATA_LOG: &str = "ignoring outdated metadata update";
/// Key of `recent_errors` for an outage of all brokers.
const ALL_BROKERS_DOWN: &str = "AllBrokersDown";

/// State of a member that outlives its consumer.
#[derive(Clone)]
pub(super) struct Shared {
    pub inbox: Arc<Inbox>,
    pub prefix: Prefix,
    pub outage: Arc<Outage>,
    /// Time at which each error, by its code or its topic, was last seen.
    pub recent_errors: Arc<Mutex<HashMap<String, Instant>>>,
}

/// Context of one consumer.
pub(super) struct Context {
    pub shared: Shared,
    /// Names of the subscribed topics, without the prefix; shared by all records.
    topics: Vec<Arc<str>>,
    /// Time limit for the reply to a revocation, which the whole group waits for.
    reply_limit: Duration,
    /// Number of rebalances that have ended.
    rebalances: AtomicUsize,
    paused: Mutex<BTreeSet<TopicPartition>>,
    are_brokers_down: AtomicBool,
    stale_metadata: Mutex<Option<StaleMetadata>>,
    is_topic_replaced: AtomicBool,
    /// Signal of the error that `poll` is about to return.
    signal: Mutex<Option<Signal>>,
}

/// Times at which librdkafka ignored metadata as outdated.
struct StaleMetadata {
    first: Instant,
    last: Instant,
}

impl Context {
    /// Makes the context of one consumer.
    pub fn new(shared: Shared, membership: &Membership) -> Self {
        Self {
            shared,
            topics: membership.topics.iter().map(|topic| topic.as_str().into()).collect(),
            reply_limit: membership.session_timeout / 2,
            rebalances: AtomicUsize::new(0),
            paused: Mutex::default(),
            are_brokers_down: AtomicBool::default(),
            stale_metadata: Mutex::default(),
            is_topic_replaced: AtomicBool::default(),
            signal: Mutex::default(),
        }
    }

    /// Tells whether a topic was recreated, so that this consumer will never fetch from it again.
    pub fn is_topic_replaced(&self) -> bool {
        self.is_topic_replaced.load(Ordering::Relaxed)
    }

    /// Notes that librdkafka has ignored metadata as outdated.
    fn saw_stale_metadata(&self) {
        let now = Instant::now();
        let mut stale = self.stale_metadata.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match &*stale {
            Some(seen) if now.duration_since(seen.last) < limits::STALE_METADATA_OVER_AFTER => seen.first,
            Some(_) | None => now,
        };
        *stale = Some(StaleMetadata { first, last: now });
        // Only when it lasts: a broker that lags behind reports old leaders for a moment, too.
        if now.duration_since(first) >= limits::STALE_METADATA_TIMEOUT {
            self.is_topic_replaced.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the signal of the error that `poll` has returned.
    pub fn take_signal(&self) -> Option<Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns the topic of a partition that librdkafka names by its number only; `None` when there are several topics.
    pub fn only_topic(&self) -> Option<Arc<str>> {
        match self.topics.as_slice() {
            [only] => Some(Arc::clone(only)),
            _ => None,
        }
    }

    /// Tells whether no broker can be reached.
    pub fn are_brokers_down(&self) -> bool {
        self.are_brokers_down.load(Ordering::Relaxed)
    }

    /// Tells whether the group has accepted this consumer, as far as is known by now.
    pub fn is_joined(&self, consumer: &BaseConsumer<Self>) -> bool {
        self.rebalances() > 0 && !self.are_brokers_down() && !consumer.assignment_lost()
    }

    /// Asks the brokers for metadata, for at most `limit`: without records, nothing else shows that they have
    /// recovered.
    pub fn probe(&self, consumer: &BaseConsumer<Self>, limit: Duration) {
        let topic = self.topics.first().map(|topic| self.shared.prefix.add(topic));
        if consumer.fetch_metadata(topic.as_deref(), limit).is_err() {
            return;
        }
        // So that the next outage is reported again.
        self.are_brokers_down.store(false, Ordering::Relaxed);
        self.shared.recent_errors.lock().unwrap_or_else(PoisonError::into_inner).remove(ALL_BROKERS_DOWN);
        self.shared.outage.works();
    }

    /// Returns the topic's name without the prefix; `name` is its name in the cluster.
    pub fn topic(&self, name: &str) -> Arc<str> {
        let name = self.shared.prefix.strip(name).unwrap_or(name);
        let known = self.topics.iter().find(|topic| &***topic == name);
        known.map_or_else(|| name.into(), Arc::clone)
    }

    /// Locks the set of paused partitions.
    pub fn paused(&self) -> MutexGuard<'_, BTreeSet<TopicPartition>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses fetching from a partition that has just delivered a record. On resuming, librdkafka continues behind the
    /// last record that it delivered, which a partition without one doesn't have.
    pub fn pause(&self, consumer: &BaseConsumer<Self>, partition: TopicPartition) {
        match consumer.pause(&self.partition_list([&partition])) {
            Ok(()) => {
                self.paused().insert(partition);
            }
            Err(error) => log::warn!(partition:? = partition; "pausing a partition failed: {error}"),
        }
    }

    /// Resumes every assigned partition.
    pub fn resume_all(&self, consumer: &BaseConsumer<Self>) {
        // Put back below when resuming fails, so that it is tried again.
        let paused = std::mem::take(&mut *self.paused());
        if let Err(error) = consumer.resume(&self.partition_list(&paused)) {
            log::warn!(partitions:? = paused; "resuming partitions failed: {error}");
            *self.paused() = paused;
        }
    }

    /// Returns the number of rebalances that have ended, with or without a partition for this member.
    pub fn rebalances(&self) -> usize {
        self.rebalances.load(Ordering::Relaxed)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        // An empty list must be answered as well, or the group waits for this member.
        let outcome = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
        };
        self.report(outcome);
        let partitions = self.partitions(list);
        if !partitions.is_empty() {
            log::debug!(partitions:? = partitions; "partitions assigned");
            // Only now: what is reported as assigned can be committed. Records come by this same thread, so after the
            // event.
            self.shared.inbox.assigned(partitions);
        }
        self.rebalances.fetch_add(1, Ordering::Relaxed);
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = self.partitions(list);
        if !partitions.is_empty() {
            let is_lost = consumer.assignment_lost();
            log::debug!(partitions:? = partitions, lost = is_lost; "partitions revoked");
            // Blocks the polling thread, and with it the rebalance: only after the reply may another member own them.
            let reply = self.shared.inbox.revoke(partitions.clone());
            let offsets = reply.map_or_else(Vec::new, |reply| self.wait_for(reply));
            // A lost partition may have another owner already, whose progress a commit would set back.
            if !is_lost && !offsets.is_empty() {
                self.commit(consumer, &offsets);
            }
            self.forget_pause(consumer, &partitions);
        }
        let outcome = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        };
        self.report(outcome);
    }

    /// Waits for the offsets of a reply; none when the reply was dropped or is too late, or the member is leaving.
    fn wait_for(&self, mut reply: oneshot::Receiver<Vec<Position>>) -> Vec<Position> {
        let deadline = Instant::now() + self.reply_limit;
        loop {
            match reply.try_recv() {
                Ok(offsets) => return offsets,
                Err(TryRecvError::Closed) => return Vec::new(),
                Err(TryRecvError::Empty) if self.shared.inbox.is_closed() => return Vec::new(),
                Err(TryRecvError::Empty) if Instant::now() >= deadline => {
                    log::warn!("no reply to the revocation in time; its records may be handled twice");
                    return Vec::new();
                }
                Err(TryRecvError::Empty) => thread::sleep(limits::REPLY_POLL_INTERVAL),
            }
        }
    }

    fn commit(&self, consumer: &BaseConsumer<Self>, offsets: &[Position]) {
        let outcome = offset_list(&self.shared.prefix, offsets)
            .and_then(|offsets| consumer.commit(&offsets, CommitMode::Sync));
        if let Err(error) = outcome {
            self.shared.inbox.error(errors::from_commit(&error));
        }
    }

    /// Resumes revoked partitions: librdkafka would keep them paused when they are assigned again.
    fn forget_pause(&self, consumer: &BaseConsumer<Self>, partitions: &[TopicPartition]) {
        let mut paused = self.paused();
        let gone: Vec<_> = partitions.iter().filter(|partition| paused.remove(partition)).collect();
        if !gone.is_empty()
            && let Err(error) = consumer.resume(&self.partition_list(gone))
        {
            log::warn!("resuming revoked partitions failed: {error}");
        }
    }

    fn report(&self, outcome: KafkaResult<()>) {
        if let Err(error) = outcome {
            self.shared.inbox.error(BrokerError::Unavailable(error.to_string()));
        }
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let elements = list.elements();
        let partitions = elements.iter().map(|element| TopicPartition {
            topic: self.topic(element.topic()),
            partition: element.partition(),
        });
        partitions.collect()
    }

    fn partition_list<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.shared.prefix.add(&partition.topic), partition.partition);
        }
        list
    }

    /// Tells whether an error is new, and not the same one as a moment ago.
    fn is_new_error(&self, error: String) -> bool {
        let now = Instant::now();
        let mut errors = self.shared.recent_errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.retain(|_, seen| now.duration_since(*seen) < limits::REPEAT_ERROR_AFTER);
        errors.insert(error, now).is_none()
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, list);
        } else {
            self.revoke(consumer, list);
        }
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if let Some(signal) = decode::signal(code, reason) {
            if matches!(signal, Signal::Undecodable { .. }) && self.is_new_error(reason.to_owned()) {
                log::warn!(reason; "batch can't be decoded");
            }
            // Kept for the error that `poll` returns next, which has neither the offset nor the text.
            *self.signal.lock().unwrap_or_else(PoisonError::into_inner) = Some(signal);
            return;
        }
        log::debug!(code:? = code; "librdkafka: {reason}");
        // Only one broker's connection. When all are lost, AllBrokersDown follows; but it doesn't name the cause, so a
        // refusal is reported right here.
        let one_broker = [RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::Resolve];
        if code.is_some_and(|code| one_broker.contains(&code)) && !errors::is_refusal(reason) {
            return;
        }
        let error = errors::from_rdkafka(code, reason);
        let key = match &error {
            _ if code == Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.are_brokers_down.store(true, Ordering::Relaxed);
                self.shared.outage.fails(&error);
                ALL_BROKERS_DOWN.to_owned()
            }
            BrokerError::UnknownTopic(topic) => topic.clone(),
            BrokerError::Configuration(_) => "configuration".to_owned(),
            BrokerError::Unavailable(_) | BrokerError::PartitionUnavailable(_) | BrokerError::Rejected(_) => {
                format!("{code:?}")
            }
        };
        if self.is_new_error(key) {
            self.shared.inbox.error(error);
        }
    }

    /// Logs one level lower than librdkafka does: what matters is reported once, as `MemberEvent::Error`.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if message.contains(STALE_METADATA_LOG) {
            self.saw_stale_metadata();
        }
        let level = match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => log::Level::Warn,
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => log::Level::Info,
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => log::Level::Debug,
        };
        log::log!(target: "librdkafka", level, "{facility}: {message}");
    }
}
