//! Publish the outbox to Kafka. Every process has a relay; they share out the rows by leases and locks.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::actions::{ServeContext, files, publish};
use crate::broker::{Broker, BrokerError, Receipt, Record};
use crate::db::outbox::{OutboxRow, PublishOutcome, RelayBatch, RowHandle};
use crate::db::outbox::{Priority, Publisher};
use crate::domain::{Pacing, Result};
use crate::faults;
use crate::telemetry::Outage;

/// Rows in one batch.
const MAX_BATCH: usize = 500;
/// Time from the start of one batch to the next under load: fewer, larger batches cost less for each record.
const MIN_BATCH_INTERVAL: Duration = Duration::from_millis(20);
/// Rows in one batch from which the next one is paced.
const BATCHING_THRESHOLD: usize = 16;
/// Time that events linger. No work waits for them, and those of a file that is made at once go out in one batch.
const EVENT_LINGER: Duration = Duration::from_millis(50);
/// Backoff after a failure, with jitter of up to as much again.
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Time that a batch waits for receipts. A record whose partition has not answered by then stays in flight beside later
/// batches, so that one partition without a leader holds up no other.
const RECEIPT_TIMEOUT: Duration = Duration::from_millis(300);
/// Records in flight beside the batches at most; beyond, nothing new is taken.
const MAX_IN_FLIGHT: usize = 4000;
/// Interval of checks for their receipts.
const IN_FLIGHT_POLL: Duration = Duration::from_millis(50);
/// Interval at which the leases of their rows, which last 5 s, are renewed.
const LEASE_RENEWAL: Duration = Duration::from_secs(2);
/// Time limit for receipts in flight at shutdown; other processes publish what has none by then.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Relays until `stop`. Rows that this process commits are published by local hand-off, to the last one; rows of other
/// processes are taken from the table after a notification, or found by polling.
pub async fn run(ctx: ServeContext, poll_interval: Duration, stop: CancellationToken) {
    let publisher = ctx.db.outbox().register_publisher();
    let relay = |priority, pacing, outage| Relay {
        ctx: &ctx,
        publisher: &publisher,
        priority,
        outage,
        poll_interval,
        polled: None,
        pacing,
        missing: Missing::default(),
        in_flight: Vec::new(),
        renewed: Instant::now(),
    };
    let mut requests = relay(
        Priority::Requests,
        Pacing::new(MIN_BATCH_INTERVAL, BATCHING_THRESHOLD),
        Outage::new("outbox stalled", "outbox resumed"),
    );
    let mut events = relay(
        Priority::Events,
        Pacing::new(EVENT_LINGER, 1),
        Outage::new("events stalled", "events resumed"),
    );
    tokio::join!(requests.run(&stop), events.run(&stop));
}

/// Relay of one priority; the one for requests polls the table as well.
struct Relay<'a> {
    ctx: &'a ServeContext,
    publisher: &'a Publisher,
    priority: Priority,
    outage: Outage,
    poll_interval: Duration,
    /// Time of the last query that found nothing more in the table.
    polled: Option<Instant>,
    pacing: Pacing,
    missing: Missing,
    /// Rows whose receipts were missing when their batch ended.
    in_flight: Vec<InFlight>,
    /// Time at which their leases were renewed.
    renewed: Instant,
}

struct InFlight {
    handle: RowHandle,
    file_id: i64,
    topic: String,
    receipt: Receipt,
}

impl Relay<'_> {
    async fn run(&mut self, stop: &CancellationToken) {
        let mut backoffs = None;
        let mut stopping_since: Option<Instant> = None;
        loop {
            let stopping = stop.is_cancelled();
            if stopping && stopping_since.is_none() {
                stopping_since = Some(Instant::now());
            }
            // While stopping, only rows of this process are published: other relays take what is left in the table.
            let (taken, failure) = match self.batch(!stopping).await {
                Ok(batch) => {
                    self.missing.warn(batch.postponed);
                    (batch.taken, batch.retained)
                }
                Err(error) => (0, Some(error.chain())),
            };
            if let Some(why) = failure {
                self.outage.fails(why);
                // Backoff with jitter: the failure concerns all rows, and all relays have it at the same time.
                let wait = backoffs.get_or_insert_with(backoff).next().unwrap_or(MAX_BACKOFF);
                stop.run_until_cancelled(tokio::time::sleep(wait)).await;
            } else {
                self.outage.works();
                backoffs = None;
                if taken == 0 && !stopping {
                    self.wait(stop).await;
                }
            }
            if stopping && taken == 0 {
                // Rows in flight are waited for: another relay would publish them again once their lease ends.
                if self.in_flight.is_empty() || stopping_since.is_some_and(|at| at.elapsed() >= STOP_LIMIT) {
                    return;
                }
                tokio::time::sleep(IN_FLIGHT_POLL).await;
            }
        }
    }

    /// Publishes one batch: local rows first, then, when it is time, rows of the table.
    async fn batch(&mut self, poll: bool) -> Result<RelayBatch> {
        if let Some(pause) = self.pacing.pause(Instant::now()) {
            tokio::time::sleep(pause).await;
        }
        // Receipts come first: they free capacity and end the leases of earlier batches.
        let arrived = self.collect_receipts().await?;
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return Ok(arrived);
        }
        // The start of the batch, not its end: pacing and polling must not drift with the time that Kafka takes.
        let started = Instant::now();
        let rows = self.publisher.take(self.priority, MAX_BATCH);
        let mut batch =
            if rows.is_empty() { RelayBatch::default() } else { self.publish_local(rows).await? };
        // The table is left alone after a failure: its rows would fail for the same reason.
        if poll
            && self.priority == Priority::Requests
            && batch.retained.is_none()
            && self.polled.is_none_or(|at| at.elapsed() >= self.poll_interval)
        {
            let (found, in_flight) = poll_table(self.ctx).await?;
            self.in_flight.extend(in_flight);
            self.polled = (found.taken == 0).then_some(started);
            batch = batch.and(found);
        }
        self.pacing.record(started, batch.taken);
        Ok(batch.and(arrived))
    }

    /// Publishes rows of the local hand-off, which are leased to this process. After a crash they are still in the table.
    async fn publish_local(&mut self, rows: Vec<OutboxRow>) -> Result<RelayBatch> {
        let handles: Vec<RowHandle> = rows.iter().map(OutboxRow::handle).collect();
        let (outcomes, in_flight) = publish(&*self.ctx.broker, rows).await;
        self.in_flight.extend(in_flight);
        // A crash here publishes twice, under the same event id: rows are deleted after their receipts (at-least-once).
        faults::point!(RelayPublished);
        let batch = self.ctx.db.outbox().apply_outcomes(handles.into_iter().zip(outcomes).collect()).await?;
        fail_parked(self.ctx, batch).await
    }

    /// Applies the receipts that have arrived for records in flight, and renews the leases of the others.
    async fn collect_receipts(&mut self) -> Result<RelayBatch> {
        if self.in_flight.is_empty() {
            return Ok(RelayBatch::default());
        }
        let mut outcomes = Vec::new();
        for mut row in std::mem::take(&mut self.in_flight) {
            match (&mut row.receipt).now_or_never() {
                Some(answer) => outcomes.push((row.handle, outcome_of(&row.topic, row.file_id, answer))),
                None => self.in_flight.push(row),
            }
        }
        let arrived = outcomes.len();
        // A lease that ended while its record is in flight would let another relay publish the record too.
        if self.renewed.elapsed() >= LEASE_RENEWAL {
            outcomes.extend(self.in_flight.iter().map(|row| (row.handle.clone(), PublishOutcome::InFlight)));
            self.renewed = Instant::now();
        }
        if outcomes.is_empty() {
            return Ok(RelayBatch::default());
        }
        let batch = RelayBatch { taken: arrived, ..self.ctx.db.outbox().apply_outcomes(outcomes).await? };
        fail_parked(self.ctx, batch).await
    }

    async fn wait(&mut self, stop: &CancellationToken) {
        if self.priority == Priority::Events {
            self.linger(stop).await;
            return;
        }
        let poll = self.polled.map_or(Duration::ZERO, |at| self.poll_interval.saturating_sub(at.elapsed()));
        // Both notifications keep a permit, so one that came between the last query and this wait is not lost.
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.publisher.notified(self.priority) => {}
            () = self.ctx.outbox.notified() => self.polled = None,
            () = tokio::time::sleep(poll) => {}
            () = tokio::time::sleep(IN_FLIGHT_POLL), if !self.in_flight.is_empty() => {}
        }
    }

    /// Waits until there are events, and then lingers for more.
    async fn linger(&self, stop: &CancellationToken) {
        let lingering = async {
            tokio::select! {
                () = self.publisher.notified(self.priority) => tokio::time::sleep(EVENT_LINGER).await,
                () = tokio::time::sleep(IN_FLIGHT_POLL), if !self.in_flight.is_empty() => {}
            }
        };
        stop.run_until_cancelled(lingering).await;
    }
}

/// Publishes one batch of the table, and waits for every receipt.
pub async fn relay_once(ctx: &ServeContext) -> Result<RelayBatch> {
    let (batch, in_flight) = poll_table(ctx).await?;
    let mut outcomes = Vec::with_capacity(in_flight.len());
    for row in in_flight {
        outcomes.push((row.handle, outcome_of(&row.topic, row.file_id, row.receipt.await)));
    }
    if outcomes.is_empty() {
        return Ok(batch);
    }
    let taken = batch.taken;
    let late = fail_parked(ctx, ctx.db.outbox().apply_outcomes(outcomes).await?).await?;
    Ok(RelayBatch { taken, ..batch.and(late) })
}

/// Takes rows that no process has leased, and publishes them. Rows whose records are in flight when this returns are leased.
async fn poll_table(ctx: &ServeContext) -> Result<(RelayBatch, Vec<InFlight>)> {
    let broker = ctx.broker.clone();
    let (tell, in_flight) = oneshot::channel();
    let batch = ctx
        .db
        .outbox()
        .relay(MAX_BATCH, |rows| async move {
            let (outcomes, in_flight) = publish(&*broker, rows).await;
            // The receiver is gone if the caller was cancelled.
            let _ = tell.send(in_flight);
            faults::point!(RelayPublished);
            outcomes
        })
        .await?;
    let batch = fail_parked(ctx, batch).await?;
    // The closure did not run if there was nothing to take.
    Ok((batch, in_flight.await.unwrap_or_default()))
}

async fn fail_parked(ctx: &ServeContext, mut batch: RelayBatch) -> Result<RelayBatch> {
    if !batch.parked.is_empty() {
        // RemovalOutcome as far as this relay is concerned.
        batch.published += batch.parked.len();
        files::fail_unpublishable(ctx, std::mem::take(&mut batch.parked)).await?;
    }
    Ok(batch)
}

/// Publishes rows and waits `RECEIPT_TIMEOUT` at most. Returns an outcome for each, in order, and the receipts of those that are
/// still in flight.
async fn publish(broker: &dyn Broker, rows: Vec<OutboxRow>) -> (Vec<PublishOutcome>, Vec<InFlight>) {
    let limit = tokio::time::Instant::now() + RECEIPT_TIMEOUT;
    let mut by_topic: BTreeMap<Cow<'static, str>, Vec<(usize, RowHandle, Record)>> = BTreeMap::new();
    // A row keeps this outcome only if the broker answers fewer receipts than it got records.
    let mut outcomes: Vec<PublishOutcome> =
        rows.iter().map(|_| PublishOutcome::Retained("no answer".to_owned())).collect();
    for (index, row) in rows.into_iter().enumerate() {
        let handle = row.handle();
        let record = Record {
            value: Some(row.message.value().clone()),
            key: row.message.key,
            headers: publish::headers(&row.message.topic, row.message.event_id),
        };
        by_topic.entry(row.message.topic).or_default().push((index, handle, record));
    }
    let topics = by_topic.into_iter().map(|(topic, rows)| async move {
        let (places, records): (Vec<_>, Vec<_>) =
            rows.into_iter().map(|(index, handle, record)| ((index, handle), record)).unzip();
        // Sent in row order: records with the same key keep their order within their partition.
        let receipts = broker.send(&topic, records).await;
        let mut answers = Vec::with_capacity(receipts.len());
        for mut receipt in receipts {
            // One deadline for the whole batch: receipts that are late one after the other do not add up.
            answers.push(tokio::time::timeout_at(limit, &mut receipt).await.map_err(|_| receipt));
        }
        (topic, places, answers)
    });
    let mut in_flight = Vec::new();
    for (topic, places, answers) in futures_util::future::join_all(topics).await {
        for ((index, handle), answer) in places.into_iter().zip(answers) {
            let file_id = handle.file_id().0;
            outcomes[index] = match answer {
                Ok(answer) => outcome_of(&topic, file_id, answer),
                Err(receipt) => {
                    in_flight.push(InFlight { handle, file_id, topic: topic.clone().into_owned(), receipt });
                    PublishOutcome::InFlight
                }
            };
        }
    }
    (outcomes, in_flight)
}

fn outcome_of(
    topic: &str,
    file_id: i64,
    answer: Result<crate::broker::Position, BrokerError>,
) -> PublishOutcome {
    match answer {
        Ok(position) => {
            log::debug!(file_id, topic, partition = position.partition, offset = position.offset; "record published");
            PublishOutcome::Published
        }
        Err(BrokerError::Rejected(reason)) => {
            log::error!(file_id, topic, reason; "record parked");
            PublishOutcome::Parked(reason)
        }
        Err(BrokerError::UnknownTopic(_)) => PublishOutcome::Postponed,
        Err(BrokerError::PartitionUnavailable(_)) => PublishOutcome::Later,
        Err(error @ (BrokerError::Unavailable(_) | BrokerError::Configuration(_))) => {
            PublishOutcome::Retained(error.to_string())
        }
    }
}

/// Warns of each missing topic, once a minute.
#[derive(Default)]
struct Missing(BTreeMap<String, Instant>);

impl Missing {
    fn warn(&mut self, topics: Vec<String>) {
        const INTERVAL: Duration = Duration::from_mins(1);
        let now = Instant::now();
        for topic in topics.into_iter().collect::<BTreeSet<_>>() {
            if self.0.get(&topic).is_none_or(|said| now.duration_since(*said) > INTERVAL) {
                log::warn!(topic:% = topic; "records wait for a missing topic; `filesys topics` makes it");
                self.0.insert(topic, now);
            }
        }
    }
}

fn backoff() -> backon::ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(MIN_BACKOFF)
        .with_max_delay(MAX_BACKOFF)
        .with_jitter()
        .without_max_times()
        .build()
}
