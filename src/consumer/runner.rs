//! Loop of one group member: fetch, process batches in flight, commit the low watermark, release partitions on revoke.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{BatchContext, ParkingSpace};
use super::health::MemberHealth;
use super::in_flight::InFlight;
use super::watermark::Watermark;
use super::{Handler, limits, retry};
use crate::broker::{BrokerError, Delivery, Member, MemberEvent, Position, Revocation, TopicPartition};
use crate::domain::Pacing;
use crate::faults;
use crate::telemetry::Outage;

/// Settings by which a member fetches, processes and stops.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Semaphore that bounds the batches in flight. Members that share it work at once on as many as it has permits,
    /// whichever of them the records come to.
    pub permits: Arc<Semaphore>,
    /// Maximum records in one batch, all of one partition.
    pub batch_size: usize,
    /// Maximum tries of a record that fails by itself (not by an outage) before it is dead-lettered.
    pub max_tries: u32,
    /// Time that batches in flight have to end when their partition is revoked; well below the session timeout.
    pub revoke_timeout: Duration,
    /// Time that batches in flight have to end when the member stops.
    pub drain_timeout: Duration,
    /// True if records that have arrived by the time the member stops are still handled, within `drain_timeout`.
    pub finish_backlog: bool,
    /// Minimum interval between two fetches under load: larger batches cost less. Zero where records are handled
    /// singly.
    pub min_batch_interval: Duration,
}

/// Works until `stop`, then drains, commits and leaves the group.
pub async fn run(
    member: Box<dyn Member>,
    handler: Arc<dyn Handler>,
    settings: Settings,
    stop: CancellationToken,
) {
    run_watched(member, handler, settings, &MemberHealth::default(), stop).await;
}

/// Runs like `run`, and writes a heartbeat to `health` while the loop turns.
pub async fn run_watched(
    member: Box<dyn Member>,
    handler: Arc<dyn Handler>,
    settings: Settings,
    health: &MemberHealth,
    stop: CancellationToken,
) {
    let permits = Arc::clone(&settings.permits);
    let mut runner = Runner {
        member,
        handler,
        pace: Pacing::new(settings.min_batch_interval, limits::BATCHING_THRESHOLD),
        settings,
        partitions: HashMap::new(),
        in_flight: InFlight::default(),
        parking: ParkingSpace::default(),
        committing: None,
        commit_outage: Outage::new("offsets not committed", "offsets committed again"),
    };
    let mut commits = tokio::time::interval(limits::COMMIT_INTERVAL);
    commits.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heartbeats = tokio::time::interval(limits::HEARTBEAT_INTERVAL);
    heartbeats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let pause = runner.pace.pause(std::time::Instant::now());
        let capacity = if pause.is_some() { 0 } else { runner.capacity() };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            // Only a wake-up: the permit is dropped at once, and another member may get it before the next fetch.
            _ = permits.acquire(), if pause.is_none() && capacity == 0 => {}
            Some(finished) = runner.in_flight.next() => runner.finish(finished),
            // The commit is polled here and not awaited: a silent coordinator must delay neither the work nor the reply
            // to a revocation.
            outcome = outcome_of(&mut runner.committing), if runner.committing.is_some() => runner.committed(outcome).await,
            _ = commits.tick(), if runner.committing.is_none() => runner.commit().await,
            _ = heartbeats.tick() => health.beat(runner.member.is_joined()),
            // Also called without capacity: assignments and revocations come at any time.
            event = runner.member.next(capacity) => runner.on_event(event).await,
        }
    }
    runner.stop().await;
}

struct Runner {
    member: Box<dyn Member>,
    handler: Arc<dyn Handler>,
    settings: Settings,
    /// Partitions that the member owns; the watermark begins with the first record.
    partitions: HashMap<TopicPartition, Option<Watermark>>,
    in_flight: InFlight,
    parking: ParkingSpace,
    pace: Pacing,
    /// Commit in flight. There is never more than one, so commits can't overtake each other.
    committing: Option<Committing>,
    commit_outage: Outage,
}

struct Committing {
    next_offsets: Vec<Position>,
    outcome: BoxFuture<'static, Result<(), BrokerError>>,
}

/// Waits for the outcome of the commit; never resolves without one. Cancel safe.
async fn outcome_of(committing: &mut Option<Committing>) -> Result<(), BrokerError> {
    match committing {
        Some(committing) => (&mut committing.outcome).await,
        None => std::future::pending().await,
    }
}

impl Runner {
    /// Returns how many more records may be fetched now.
    fn capacity(&self) -> usize {
        let batches = self.settings.permits.available_permits().min(limits::MAX_BATCHES_PER_FETCH);
        batches * self.settings.batch_size
    }

    async fn on_event(&mut self, event: MemberEvent) {
        match event {
            MemberEvent::Assigned(partitions) => {
                log::info!(partitions = names(&partitions); "partitions assigned");
                self.partitions.extend(partitions.into_iter().map(|partition| (partition, None)));
            }
            MemberEvent::Revoked(revocation) => self.release(revocation).await,
            MemberEvent::Records(deliveries) => {
                self.pace.record(std::time::Instant::now(), deliveries.len());
                self.start_batches(deliveries);
            }
            MemberEvent::EndReached(end) => {
                if let Some(mark) = self.partitions.get_mut(&end.topic_partition()) {
                    // One below the end: otherwise a partition without any record would have nothing to commit.
                    mark.get_or_insert_with(|| Watermark::starting_at(end.offset - 1)).skip_to(end.offset);
                }
            }
            MemberEvent::Error(error) => log::warn!(error:% = error; "consumer group error"),
        }
    }

    /// Splits records into batches and starts them. Each batch has records of one partition only, so that revoking one
    /// partition never aborts the work of another.
    fn start_batches(&mut self, deliveries: Vec<Delivery>) {
        let mut batches: HashMap<TopicPartition, Vec<Delivery>> = HashMap::new();
        for delivery in deliveries {
            let partition = delivery.position.topic_partition();
            let Some(mark) = self.partitions.get_mut(&partition) else { continue };
            let offset = delivery.position.offset;
            let mark = mark.get_or_insert_with(|| Watermark::starting_at(offset));
            mark.begin(offset);
            if let Some(batch) = &delivery.undecodable {
                // One delivery stands for the whole undecodable batch: its dead letter finishes all of these offsets.
                mark.skip_to(batch.next_offset);
            }
            let batch = batches.entry(partition.clone()).or_default();
            batch.push(delivery);
            if batch.len() == self.settings.batch_size {
                let full = std::mem::take(batch);
                self.start(partition, full);
            }
        }
        for (partition, batch) in batches.into_iter().filter(|(_, batch)| !batch.is_empty()) {
            self.start(partition, batch);
        }
    }

    /// Starts a batch, with a permit that is free now or else with the next one.
    fn start(&mut self, partition: TopicPartition, batch: Vec<Delivery>) {
        // Taken before the task is first polled: until then `capacity` would count the permit as free.
        let free = Arc::clone(&self.settings.permits).try_acquire_owned();
        let permits = Arc::clone(&self.settings.permits);
        let (handler, stall) = (Arc::clone(&self.handler), Arc::clone(&self.in_flight.stall));
        let (max_tries, parking) = (self.settings.max_tries, self.parking.clone());
        self.in_flight.start(partition, async move {
            let permit = match free {
                Ok(permit) => Ok(permit),
                Err(_) => permits.acquire_owned().await,
            };
            let context = BatchContext::new(permit.ok(), parking, &batch);
            retry::process(handler, max_tries, stall, context, batch).await
        });
    }

    fn finish(&mut self, finished: Vec<Position>) {
        for position in finished {
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

    /// Begins to commit the watermarks, unless there is nothing to commit.
    #[cfg_attr(not(feature = "chaos"), expect(clippy::unused_async, reason = "the crash point waits"))]
    async fn commit(&mut self) {
        let next_offsets = self.to_commit();
        if next_offsets.is_empty() {
            return;
        }
        faults::point!(ConsumerCommitting);
        let outcome = self.member.commit(next_offsets.clone());
        self.committing = Some(Committing { next_offsets, outcome });
    }

    #[cfg_attr(not(feature = "chaos"), expect(clippy::unused_async, reason = "the crash point waits"))]
    async fn committed(&mut self, outcome: Result<(), BrokerError>) {
        let Some(Committing { next_offsets, .. }) = self.committing.take() else { return };
        match outcome {
            Ok(()) => {
                faults::point!(ConsumerCommitted);
                self.commit_outage.works();
                for next in next_offsets {
                    // Kafka commits the next offset to consume; the log shows the last finished one, too.
                    log::debug!(topic:% = next.topic, partition = next.partition, offset = next.offset - 1, next_offset = next.offset; "offset committed");
                    if let Some(Some(mark)) = self.partitions.get_mut(&next.topic_partition()) {
                        mark.committed(next.offset);
                    }
                }
            }
            // Retried with the next tick. At-least-once: a crash before that repeats the finished work.
            Err(error) => self.commit_outage.fails(error),
        }
    }

    /// Commits the watermarks and waits for the outcome.
    async fn commit_within(&mut self, limit: Duration) {
        let until = Instant::now() + limit;
        // Twice: a commit that is already in flight doesn't have the newest watermarks.
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

    /// Releases revoked partitions: ends their batches within the time limit, then replies with the offsets to commit.
    async fn release(&mut self, Revocation { partitions, reply }: Revocation) {
        log::info!(partitions = names(&partitions); "partitions revoked");
        let until = Instant::now() + self.settings.revoke_timeout;
        while !self.is_idle(&partitions) {
            tokio::select! {
                Some(finished) = self.in_flight.next() => self.finish(finished),
                () = tokio::time::sleep_until(until) => {
                    self.in_flight.abort(&partitions);
                    break;
                }
            }
        }
        let offsets =
            self.to_commit().into_iter().filter(|next| partitions.contains(&next.topic_partition()));
        // The group may have gone on without this member; then the next owner repeats what is not committed.
        let _ = reply.send(offsets.collect());
        // Without an await since the reply: no record of a later assignment can come in between.
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
            let capacity = self.capacity();
            tokio::select! {
                Some(finished) = self.in_flight.next() => self.finish(finished),
                event = self.member.next(capacity) => self.on_event(event).await,
                () = tokio::time::sleep(limits::BACKLOG_IDLE_AFTER), if self.in_flight.is_empty() => return,
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    async fn stop(mut self) {
        let until = Instant::now() + self.settings.drain_timeout;
        if self.settings.finish_backlog {
            self.take_backlog(until).await;
        }
        while !self.in_flight.is_empty() {
            tokio::select! {
                Some(finished) = self.in_flight.next() => self.finish(finished),
                // A revocation during the drain is replied to, or the whole group would wait for this member.
                event = self.member.next(0) => self.on_event(event).await,
                () = tokio::time::sleep_until(until) => break,
            }
        }
        if !self.in_flight.is_empty() {
            log::warn!(batches = self.in_flight.len(); "stopped with unfinished batches; other members repeat them");
        }
        // In this order: an aborted batch can't finish behind the last commit, and leaving does not commit.
        self.in_flight.abort_all().await;
        self.commit_within(limits::FINAL_COMMIT_TIMEOUT).await;
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

    use async_trait::async_trait;
    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    use super::*;
    use crate::broker::local::LocalBroker;
    use crate::broker::{Broker, Membership, Record, TopicSpec};
    use crate::domain::Error;

    /// Finishes nothing before it is opened.
    #[derive(Default)]
    struct Gate {
        in_work: Mutex<usize>,
        came: Notify,
        open: CancellationToken,
    }

    #[async_trait]
    impl Handler for Gate {
        async fn handle(&self, batch: &[Delivery], _context: &BatchContext) -> Vec<Result<(), Error>> {
            *self.in_work.lock().unwrap() += batch.len();
            self.came.notify_one();
            self.open.cancelled().await;
            batch.iter().map(|_| Ok(())).collect()
        }

        async fn dead_letter(&self, _delivery: &Delivery, error: &Error) -> Result<(), Error> {
            panic!("nothing fails, but {error}");
        }
    }

    #[tokio::test]
    async fn a_member_that_has_all_records_uses_the_permits_of_the_others_and_no_more() {
        const PERMITS: usize = 20;
        const RECORDS: usize = 50;
        let broker = LocalBroker::default();
        broker.ensure_topics(&[TopicSpec { name: "t".to_owned(), partitions: 1 }]).await.unwrap();
        let records = vec![Record { value: Some("x".into()), ..Record::default() }; RECORDS];
        broker.publish("t", records).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
        let (gate, stop) = (Arc::new(Gate::default()), CancellationToken::new());
        let limit = Duration::from_mins(1);
        let settings = Settings {
            permits: Arc::new(Semaphore::new(PERMITS)),
            batch_size: 1,
            max_tries: 1,
            revoke_timeout: limit,
            drain_timeout: limit,
            finish_backlog: false,
            min_batch_interval: Duration::ZERO,
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
                while *gate.in_work.lock().unwrap() < count {
                    gate.came.notified().await;
                }
            }
        };
        tokio::time::timeout(limit, all_came(PERMITS)).await.unwrap();
        // A batch started without a permit would have been counted by now.
        let more = tokio::time::timeout(Duration::from_millis(200), all_came(PERMITS + 1)).await;
        assert!(more.is_err(), "{} at once", gate.in_work.lock().unwrap());
        gate.open.cancel();
        tokio::time::timeout(limit, all_came(RECORDS)).await.unwrap();
        stop.cancel();
        members.join_all().await;
        assert_eq!(broker.committed("g", "t").await.unwrap()[&0], i64::try_from(RECORDS).unwrap());
    }
}
