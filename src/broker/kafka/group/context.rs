//! librdkafka's callbacks on the member's thread: partitions come and go, and something is wrong.

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
use crate::broker::kafka::prefix::Prefix;
use crate::broker::{BrokerError, Membership, Position, TopicPartition};
use crate::telemetry::Outage;

/// The same trouble is told again when it was absent for this long.
const TROUBLE_IS_OVER: Duration = Duration::from_secs(30);
/// A topic that is deleted and made again begins with lower leader epochs than librdkafka remembers; it takes all
/// that brokers tell of it for outdated, for ever, and says so in its debug log only (2.12,
/// `rd_kafka_toppar_leader_update`).
const STALE: &str = "ignoring outdated metadata update";
const STALE_AT_MOST: Duration = Duration::from_secs(3);
/// Longer than it takes until metadata is asked for again.
const STALE_IS_OVER: Duration = Duration::from_secs(12);
/// Name by which `troubles` calls an outage of all brokers.
const ALL_AWAY: &str = "AllBrokersDown";
const REPLY_POLL: Duration = Duration::from_millis(5);

/// What outlives one consumer.
#[derive(Clone)]
pub(super) struct Shared {
    pub inbox: Arc<Inbox>,
    pub prefix: Prefix,
    pub outage: Arc<Outage>,
    /// When each trouble, by code and text of the topic's, was last seen.
    pub troubles: Arc<Mutex<HashMap<String, Instant>>>,
}

pub(super) struct Context {
    pub shared: Shared,
    /// Topics by our names for them; interned.
    topics: Vec<Arc<str>>,
    /// How long a revocation may stay without a reply. The group waits for it.
    reply_limit: Duration,
    /// How many have ended.
    rebalances: AtomicUsize,
    paused: Mutex<BTreeSet<TopicPartition>>,
    are_brokers_away: AtomicBool,
    stale: Mutex<Option<Stale>>,
    is_topic_replaced: AtomicBool,
    /// Signal of the error that `poll` is about to return.
    signal: Mutex<Option<Signal>>,
}

/// Since when, and when last, brokers told what librdkafka took for outdated.
struct Stale {
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
            are_brokers_away: AtomicBool::default(),
            stale: Mutex::default(),
            is_topic_replaced: AtomicBool::default(),
            signal: Mutex::default(),
        }
    }

    /// A topic was deleted and made again: this consumer will never fetch from it.
    pub fn is_topic_replaced(&self) -> bool {
        self.is_topic_replaced.load(Ordering::Relaxed)
    }

    /// A broker that lags behind tells old leaders for a moment, too.
    fn saw_stale_metadata(&self) {
        let now = Instant::now();
        let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match &*stale {
            Some(seen) if now.duration_since(seen.last) < STALE_IS_OVER => seen.first,
            Some(_) | None => now,
        };
        *stale = Some(Stale { first, last: now });
        if now.duration_since(first) >= STALE_AT_MOST {
            self.is_topic_replaced.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the signal of the error that `poll` has returned.
    pub fn take_signal(&self) -> Option<Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The topic of whatever librdkafka names a partition of without its topic; `None` when there are several.
    pub fn only_topic(&self) -> Option<Arc<str>> {
        match self.topics.as_slice() {
            [only] => Some(Arc::clone(only)),
            _ => None,
        }
    }

    /// Tells whether no broker can be reached.
    pub fn are_brokers_away(&self) -> bool {
        self.are_brokers_away.load(Ordering::Relaxed)
    }

    /// Whether the group has taken this consumer in, for all that is known by now.
    pub fn is_joined(&self, consumer: &BaseConsumer<Self>) -> bool {
        self.rebalances() > 0 && !self.are_brokers_away() && !consumer.assignment_lost()
    }

    /// Asks the brokers, for at most `limit`: nothing else tells that they are back while there are no records.
    pub fn probe(&self, consumer: &BaseConsumer<Self>, limit: Duration) {
        let topic = self.topics.first().map(|topic| self.shared.prefix.add(topic));
        if consumer.fetch_metadata(topic.as_deref(), limit).is_err() {
            return;
        }
        // Their next absence is news.
        self.are_brokers_away.store(false, Ordering::Relaxed);
        self.shared.troubles.lock().unwrap_or_else(PoisonError::into_inner).remove(ALL_AWAY);
        self.shared.outage.works();
    }

    /// Returns our name of the topic that the cluster calls `name`.
    pub fn topic(&self, name: &str) -> Arc<str> {
        let name = self.shared.prefix.strip(name).unwrap_or(name);
        let known = self.topics.iter().find(|topic| &***topic == name);
        known.map_or_else(|| name.into(), Arc::clone)
    }

    /// Partitions that librdkafka fetches nothing of.
    pub fn paused(&self) -> MutexGuard<'_, BTreeSet<TopicPartition>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops fetching. Only for a partition that has just given a record: on resuming, librdkafka goes on
    /// after the last one it gave, which a partition that gave none yet doesn't have.
    pub fn pause(&self, consumer: &BaseConsumer<Self>, partition: TopicPartition) {
        match consumer.pause(&self.partition_list([&partition])) {
            Ok(()) => {
                self.paused().insert(partition);
            }
            Err(error) => log::warn!(partition:? = partition; "pausing failed: {error}"),
        }
    }

    /// Resumes every assigned partition.
    pub fn resume_all(&self, consumer: &BaseConsumer<Self>) {
        let paused = std::mem::take(&mut *self.paused());
        if let Err(error) = consumer.resume(&self.partition_list(&paused)) {
            log::warn!(partitions:? = paused; "resuming failed: {error}");
            *self.paused() = paused;
        }
    }

    /// How many rebalances have ended, whether or not they gave us anything.
    pub fn rebalances(&self) -> usize {
        self.rebalances.load(Ordering::Relaxed)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        // Also an empty list is to be answered, or the group waits.
        let outcome = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
        };
        self.report(outcome);
        let partitions = self.partitions(list);
        if !partitions.is_empty() {
            log::debug!(partitions:? = partitions; "partitions assigned");
            // Not sooner: what is told to be ours can be committed. Its records come by this thread, so later.
            self.shared.inbox.assigned(partitions);
        }
        self.rebalances.fetch_add(1, Ordering::Relaxed);
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = self.partitions(list);
        if !partitions.is_empty() {
            let is_lost = consumer.assignment_lost();
            log::debug!(partitions:? = partitions, lost = is_lost; "partitions revoked");
            let reply = self.shared.inbox.revoke(partitions.clone());
            let offsets = reply.map_or_else(Vec::new, |reply| self.wait_for(reply));
            // What is lost may have another owner already, which a commit would set back.
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

    /// Empty when the reply was dropped or came too late, or the member is leaving.
    fn wait_for(&self, mut reply: oneshot::Receiver<Vec<Position>>) -> Vec<Position> {
        let deadline = Instant::now() + self.reply_limit;
        loop {
            match reply.try_recv() {
                Ok(offsets) => return offsets,
                Err(TryRecvError::Closed) => return Vec::new(),
                Err(TryRecvError::Empty) if self.shared.inbox.is_closed() => return Vec::new(),
                Err(TryRecvError::Empty) if Instant::now() >= deadline => {
                    log::warn!("partitions go without a reply in time; their work may be done twice");
                    return Vec::new();
                }
                Err(TryRecvError::Empty) => thread::sleep(REPLY_POLL),
            }
        }
    }

    fn commit(&self, consumer: &BaseConsumer<Self>, offsets: &[Position]) {
        let outcome = offset_list(&self.shared.prefix, offsets)
            .and_then(|offsets| consumer.commit(&offsets, CommitMode::Sync));
        if let Err(error) = outcome {
            self.shared.inbox.trouble(errors::from_commit(&error));
        }
    }

    /// librdkafka keeps a partition's pause while others own it.
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
            self.shared.inbox.trouble(BrokerError::Unavailable(error.to_string()));
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

    /// Whether this is not the same trouble as the last time going on.
    fn is_news(&self, trouble: String) -> bool {
        let now = Instant::now();
        let mut troubles = self.shared.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.retain(|_, seen| now.duration_since(*seen) < TROUBLE_IS_OVER);
        troubles.insert(trouble, now).is_none()
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
            if matches!(signal, Signal::Undecodable { .. }) && self.is_news(reason.to_owned()) {
                log::warn!(reason; "records can't be decoded");
            }
            *self.signal.lock().unwrap_or_else(PoisonError::into_inner) = Some(signal);
            return;
        }
        log::debug!(code:? = code; "librdkafka: {reason}");
        // One broker's connection; if the others are gone too, AllBrokersDown follows, which doesn't say why.
        let one_broker = [RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::Resolve];
        if code.is_some_and(|code| one_broker.contains(&code)) && !errors::is_refusal(reason) {
            return;
        }
        let error = errors::from_rdkafka(code, reason);
        let what = match &error {
            _ if code == Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.are_brokers_away.store(true, Ordering::Relaxed);
                self.shared.outage.fails(&error);
                ALL_AWAY.to_owned()
            }
            BrokerError::UnknownTopic(topic) => topic.clone(),
            BrokerError::Configuration(_) => "configuration".to_owned(),
            BrokerError::Unavailable(_) | BrokerError::PartitionUnavailable(_) | BrokerError::Rejected(_) => {
                format!("{code:?}")
            }
        };
        if self.is_news(what) {
            self.shared.inbox.trouble(error);
        }
    }

    /// Logs one level lower than librdkafka sees it: what matters comes as `MemberEvent::Trouble`, once.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if message.contains(STALE) {
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
