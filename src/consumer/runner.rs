//! Runner of one group member: fetch, handle up to so many at once, settle, commit the low watermark, release on revoke.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::MemberHealth;
use super::turn::{Aside, Turn};
use super::watermark::Watermark;
use crate::broker::{BrokerError, Delivery, Member, MemberEvent, Position, Revocation, TopicPartition};
use crate::domain::{Error, Pacing};
use crate::faults;
use crate::telemetry::Outage;

mod job;
mod jobs;

use jobs::Jobs;

/// What is done with the records of a group.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles a batch, with one answer for each record, in order. `Ok`: its offset may be committed.
    async fn handle(&self, batch: &[Delivery], turn: &Turn) -> Vec<Result<(), Error>>;

    /// Puts aside a record that can't be handled. `Ok`: nothing is lost if its offset is committed.
    async fn give_up(&self, delivery: &Delivery, error: &Error) -> Result<(), Error>;
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// Semaphore that bounds the batches in flight. Members that share it work at once on as many as it has permits,
    /// whichever of them the records come to.
    pub slots: Arc<Semaphore>,
    /// Records in one batch, all of one partition.
    pub batch: usize,
    /// Tries of one record that fails by itself (not by an outage).
    pub max_tries: u32,
    /// How long work under way may take to end when its partition is taken away; well below the session timeout.
    pub give_back: Duration,
    /// How long work under way may take to end when we stop.
    pub drain: Duration,
    /// What has arrived by the time we stop is still handled, within `drain`.
    pub finish_backlog: bool,
    /// Under load, between two takings of records: larger batches cost less. Zero where records are handled one by one.
    pub gather: Duration,
}

/// Records of a taking under load.
const CROWD: usize = 16;
/// Batches of one taking. Members that take at the same moment see the same free slots: so few may have to wait for one.
const BATCHES_TAKEN: usize = 16;

/// Between two heartbeats of the loop.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// How often settled work is committed. A crash repeats at most this much of it.
const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// Time that the coordinator has to take the last commit.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);
/// When nothing has come for this long, everything that had arrived is taken.
const QUIET: Duration = Duration::from_millis(50);

/// Works until `stop`, then drains, commits and leaves the group.
pub async fn run(
    member: Box<dyn Member>,
    handler: Arc<dyn Handler>,
    settings: Settings,
    stop: CancellationToken,
) {
    run_watched(member, handler, settings, &MemberHealth::default(), stop).await;
}

/// Runs like `run`, with a heartbeat every `HEARTBEAT_INTERVAL` while the loop turns.
pub async fn run_watched(
    member: Box<dyn Member>,
    handler: Arc<dyn Handler>,
    settings: Settings,
    health: &MemberHealth,
    stop: CancellationToken,
) {
    let slots = Arc::clone(&settings.slots);
    let mut runner = Runner {
        member,
        handler,
        pace: Pacing::new(settings.gather, CROWD),
        settings,
        partitions: HashMap::new(),
        jobs: Jobs::default(),
        aside: Aside::default(),
        committing: None,
        commits: Outage::new("offsets not committed", "offsets are committed again"),
    };
    let mut commits = tokio::time::interval(COMMIT_EVERY);
    commits.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heartbeats = tokio::time::interval(HEARTBEAT_INTERVAL);
    heartbeats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let pause = runner.pace.pause(std::time::Instant::now());
        let room = if pause.is_some() { 0 } else { runner.room() };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            // Another member may have had it.
            _ = slots.acquire(), if pause.is_none() && room == 0 => {}
            Some(done) = runner.jobs.next() => runner.settle(done),
            // A coordinator that is silent holds up neither the work nor the reply to a revocation.
            outcome = outcome_of(&mut runner.committing), if runner.committing.is_some() => runner.committed(outcome).await,
            _ = commits.tick(), if runner.committing.is_none() => runner.commit().await,
            _ = heartbeats.tick() => health.beat(runner.member.is_joined()),
            event = runner.member.next(room) => runner.on_event(event).await,
        }
    }
    runner.stop().await;
}

struct Runner {
    member: Box<dyn Member>,
    handler: Arc<dyn Handler>,
    settings: Settings,
    /// Ours now; the watermark begins with the first record.
    partitions: HashMap<TopicPartition, Option<Watermark>>,
    jobs: Jobs,
    aside: Aside,
    pace: Pacing,
    /// The commit that is in flight.
    committing: Option<Committing>,
    commits: Outage,
}

struct Committing {
    next_offsets: Vec<Position>,
    outcome: BoxFuture<'static, Result<(), BrokerError>>,
}

/// Never resolves without a commit. Cancel safe.
async fn outcome_of(committing: &mut Option<Committing>) -> Result<(), BrokerError> {
    match committing {
        Some(committing) => (&mut committing.outcome).await,
        None => std::future::pending().await,
    }
}

impl Runner {
    /// How many more records may be taken now.
    fn room(&self) -> usize {
        self.settings.slots.available_permits().min(BATCHES_TAKEN) * self.settings.batch
    }

    async fn on_event(&mut self, event: MemberEvent) {
        match event {
            MemberEvent::Assigned(partitions) => {
                log::info!(partitions = names(&partitions); "partitions assigned");
                self.partitions.extend(partitions.into_iter().map(|partition| (partition, None)));
            }
            MemberEvent::Revoked(revocation) => self.give_back(revocation).await,
            MemberEvent::Records(deliveries) => {
                self.pace.record(std::time::Instant::now(), deliveries.len());
                self.take(deliveries);
            }
            MemberEvent::Passed(end) => {
                if let Some(mark) = self.partitions.get_mut(&end.topic_partition()) {
                    // Without a record so far, the end itself is news to the group.
                    mark.get_or_insert_with(|| Watermark::starting_at(end.offset - 1)).pass(end.offset);
                }
            }
            MemberEvent::Trouble(error) => log::warn!(error:% = error; "consumer group in trouble"),
        }
    }

    /// A batch works for one partition, so that giving back another never cuts it off.
    fn take(&mut self, deliveries: Vec<Delivery>) {
        let mut batches: HashMap<TopicPartition, Vec<Delivery>> = HashMap::new();
        for delivery in deliveries {
            let partition = delivery.position.topic_partition();
            let Some(mark) = self.partitions.get_mut(&partition) else { continue };
            let offset = delivery.position.offset;
            let mark = mark.get_or_insert_with(|| Watermark::starting_at(offset));
            mark.begin(offset);
            if let Some(batch) = &delivery.undecodable {
                mark.pass(batch.next_offset);
            }
            let batch = batches.entry(partition.clone()).or_default();
            batch.push(delivery);
            if batch.len() == self.settings.batch {
                let full = std::mem::take(batch);
                self.start(partition, full);
            }
        }
        for (partition, batch) in batches.into_iter().filter(|(_, batch)| !batch.is_empty()) {
            self.start(partition, batch);
        }
    }

    /// In a slot that is free now, or else in the next one.
    fn start(&mut self, partition: TopicPartition, batch: Vec<Delivery>) {
        let free = Arc::clone(&self.settings.slots).try_acquire_owned();
        let slots = Arc::clone(&self.settings.slots);
        let (handler, waits) = (Arc::clone(&self.handler), Arc::clone(&self.jobs.waits));
        let (max_tries, aside) = (self.settings.max_tries, self.aside.clone());
        self.jobs.start(partition, async move {
            let slot = match free {
                Ok(slot) => Ok(slot),
                Err(_) => slots.acquire_owned().await,
            };
            let turn = Turn::new(slot.ok(), aside, &batch);
            job::run(handler, max_tries, waits, turn, batch).await
        });
    }

    fn settle(&mut self, done: Vec<Position>) {
        for position in done {
            if let Some(Some(mark)) = self.partitions.get_mut(&position.topic_partition()) {
                mark.finish(position.offset);
            }
        }
    }

    fn to_commit(&self) -> Vec<Position> {
        let next = |(partition, mark): (&TopicPartition, &Option<Watermark>)| {
            let offset = mark.as_ref()?.to_commit()?;
            Some(Position { topic: Arc::clone(&partition.topic), partition: partition.partition, offset })
        };
        self.partitions.iter().filter_map(next).collect()
    }

    /// Begins to commit what is done, unless there is nothing to commit.
    #[cfg_attr(not(feature = "chaos"), expect(clippy::unused_async, reason = "the fault point waits"))]
    async fn commit(&mut self) {
        let next_offsets = self.to_commit();
        if next_offsets.is_empty() {
            return;
        }
        faults::point!(ConsumerCommitting);
        let outcome = self.member.commit(next_offsets.clone());
        self.committing = Some(Committing { next_offsets, outcome });
    }

    #[cfg_attr(not(feature = "chaos"), expect(clippy::unused_async, reason = "the fault point waits"))]
    async fn committed(&mut self, outcome: Result<(), BrokerError>) {
        let Some(Committing { next_offsets, .. }) = self.committing.take() else { return };
        match outcome {
            Ok(()) => {
                faults::point!(ConsumerCommitted);
                self.commits.works();
                for next in next_offsets {
                    // Kafka's way: the offset of the last record done, and the one committed, which is the next.
                    log::debug!(topic:% = next.topic, partition = next.partition, offset = next.offset - 1, next_offset = next.offset; "offset committed");
                    if let Some(Some(mark)) = self.partitions.get_mut(&next.topic_partition()) {
                        mark.committed(next.offset);
                    }
                }
            }
            // Tried again with the next tick; what was done meanwhile is done at most twice.
            Err(error) => self.commits.fails(error),
        }
    }

    /// Commits what is done and waits for it.
    async fn commit_within(&mut self, limit: Duration) {
        let until = Instant::now() + limit;
        // The one in flight comes first.
        for _ in 0..2 {
            if self.committing.is_none() {
                self.commit().await;
            }
            if self.committing.is_some() {
                let outcome = tokio::time::timeout_at(until, outcome_of(&mut self.committing)).await;
                let silent = || Err(BrokerError::Unavailable("no answer to the commit".to_owned()));
                self.committed(outcome.unwrap_or_else(|_| silent())).await;
            }
        }
    }

    /// Ends the work on these partitions, within the limit, and replies with what is done.
    async fn give_back(&mut self, Revocation { partitions, reply }: Revocation) {
        log::info!(partitions = names(&partitions); "partitions revoked");
        let until = Instant::now() + self.settings.give_back;
        while !self.is_idle(&partitions) {
            tokio::select! {
                Some(done) = self.jobs.next() => self.settle(done),
                () = tokio::time::sleep_until(until) => {
                    self.jobs.abort(&partitions);
                    break;
                }
            }
        }
        let offsets =
            self.to_commit().into_iter().filter(|next| partitions.contains(&next.topic_partition()));
        // The group may have gone on without us; then the next owner repeats what is not committed.
        let _ = reply.send(offsets.collect());
        self.partitions.retain(|partition, _| !partitions.contains(partition));
    }

    fn is_idle(&self, partitions: &[TopicPartition]) -> bool {
        let idle = |partition| {
            self.partitions.get(partition).is_none_or(|mark| mark.as_ref().is_none_or(Watermark::is_idle))
        };
        partitions.iter().all(idle)
    }

    async fn take_backlog(&mut self, until: Instant) {
        loop {
            let room = self.room();
            tokio::select! {
                Some(done) = self.jobs.next() => self.settle(done),
                event = self.member.next(room) => self.on_event(event).await,
                () = tokio::time::sleep(QUIET), if self.jobs.is_empty() => return,
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    async fn stop(mut self) {
        let until = Instant::now() + self.settings.drain;
        if self.settings.finish_backlog {
            self.take_backlog(until).await;
        }
        while !self.jobs.is_empty() {
            tokio::select! {
                Some(done) = self.jobs.next() => self.settle(done),
                event = self.member.next(0) => self.on_event(event).await,
                () = tokio::time::sleep_until(until) => break,
            }
        }
        if !self.jobs.is_empty() {
            log::warn!(jobs = self.jobs.len(); "work handed back unfinished");
        }
        self.jobs.abort_all().await;
        self.commit_within(COMMIT_LIMIT).await;
        self.member.leave().await;
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    let name = |p: &TopicPartition| format!("{}-{}", p.topic, p.partition);
    partitions.iter().map(name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    use super::*;
    use crate::broker::local::LocalBroker;
    use crate::broker::{Broker, Membership, Record, TopicSpec};

    /// Handles nothing before it is let.
    #[derive(Default)]
    struct Gate {
        at_work: Mutex<usize>,
        came: Notify,
        open: CancellationToken,
    }

    #[async_trait]
    impl Handler for Gate {
        async fn handle(&self, batch: &[Delivery], _turn: &Turn) -> Vec<Result<(), Error>> {
            *self.at_work.lock().unwrap() += batch.len();
            self.came.notify_one();
            self.open.cancelled().await;
            batch.iter().map(|_| Ok(())).collect()
        }

        async fn give_up(&self, _delivery: &Delivery, error: &Error) -> Result<(), Error> {
            panic!("nothing fails, but {error}");
        }
    }

    #[tokio::test]
    async fn a_member_that_has_all_records_uses_the_slots_of_the_others_and_no_more() {
        const SLOTS: usize = 20;
        const RECORDS: usize = 50;
        let broker = LocalBroker::default();
        broker.ensure_topics(&[TopicSpec { name: "t".to_owned(), partitions: 1 }]).await.unwrap();
        let records = vec![Record { value: Some("x".into()), ..Record::default() }; RECORDS];
        broker.publish("t", records).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
        let (gate, stop) = (Arc::new(Gate::default()), CancellationToken::new());
        let limit = Duration::from_mins(1);
        let settings = Settings {
            slots: Arc::new(Semaphore::new(SLOTS)),
            batch: 1,
            max_tries: 1,
            give_back: limit,
            drain: limit,
            finish_backlog: false,
            gather: Duration::ZERO,
        };
        let mut members = JoinSet::new();
        for number in 0..2 {
            let membership = Membership {
                group: "g".to_owned(),
                client_id: format!("member-{number}"),
                topics: vec!["t".to_owned()],
                session_timeout: limit,
            };
            let member = broker.join(membership).await.unwrap();
            members.spawn(run(member, Arc::clone(&gate) as _, settings.clone(), stop.clone()));
        }
        let all_came = |count| {
            let gate = Arc::clone(&gate);
            async move {
                while *gate.at_work.lock().unwrap() < count {
                    gate.came.notified().await;
                }
            }
        };
        tokio::time::timeout(limit, all_came(SLOTS)).await.unwrap();
        // Whoever would come now without a slot is on his way already.
        let more = tokio::time::timeout(Duration::from_millis(200), all_came(SLOTS + 1)).await;
        assert!(more.is_err(), "{} at once", gate.at_work.lock().unwrap());
        gate.open.cancel();
        tokio::time::timeout(limit, all_came(RECORDS)).await.unwrap();
        stop.cancel();
        members.join_all().await;
        assert_eq!(broker.committed("g", "t").await.unwrap()[&0], i64::try_from(RECORDS).unwrap());
    }
}
