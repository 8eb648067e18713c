//! Publish what has committed: the outbox to Kafka, as many relays at once as there are instances.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::actions::{ServeContext, files, publish};
use crate::broker::{Broker, BrokerError, Receipt, Record};
use crate::db::fresh::{FreshRows, Lane};
use crate::db::outbox::{Fate, Handle, OutboxRow, Round};
use crate::domain::{Pacing, Result};
use crate::faults;
use crate::telemetry::Outage;

/// Rows in one round.
const BATCH: usize = 500;
/// Interval of looks into the table: a wake-up may get lost, and another relay may have left rows.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Under load, between the beginnings of two rounds.
const EVERY: Duration = Duration::from_millis(20);
/// Rows in a round under load.
const CROWD: usize = 16;
/// Nobody's work waits for facts: those of a file that is made at once go out together, out of the way of its request.
const GATHER: Duration = Duration::from_millis(50);
/// Between two tries of what fails; jitter adds up to as much again.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long a round waits for its records. One whose partition doesn't answer by then goes on beside later rounds.
const ROUND_LIMIT: Duration = Duration::from_millis(300);
/// Records on their way beside the rounds; with more, nothing new is taken.
const IN_FLIGHT_MAX: usize = 4000;
/// Between two looks at them.
const IN_FLIGHT_POLL: Duration = Duration::from_millis(50);
/// Their rows' leases are 5 s.
const LEASE_RENEWAL: Duration = Duration::from_secs(2);
/// Time limit for receipts in flight at shutdown; other processes publish what has none by then.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Relays until `stop`. What this process commits it publishes straight from the commit, to the last; what others leave
/// in the table is taken when PostgreSQL tells of it, and found by a slow poll.
pub async fn run(ctx: ServeContext, stop: CancellationToken) {
    let fresh = ctx.db.fresh_rows();
    let lane = |lane, pace, outage| Relay {
        ctx: &ctx,
        fresh: &fresh,
        lane,
        outage,
        looked: None,
        pace,
        missing: Missing::default(),
        in_flight: Vec::new(),
        renewed: Instant::now(),
    };
    let mut requests =
        lane(Lane::Requests, Pacing::new(EVERY, CROWD), Outage::new("outbox waits", "outbox flows again"));
    let mut facts = lane(Lane::Facts, Pacing::new(GATHER, 1), Outage::new("facts wait", "facts flow again"));
    tokio::join!(requests.run(&stop), facts.run(&stop));
}

/// Relay of one lane; the one for requests looks into the table as well.
struct Relay<'a> {
    ctx: &'a ServeContext,
    fresh: &'a FreshRows,
    lane: Lane,
    outage: Outage,
    /// When there was nothing more to take from the table.
    looked: Option<Instant>,
    pace: Pacing,
    missing: Missing,
    /// Rows whose records were not there when their round ended.
    in_flight: Vec<InFlight>,
    /// When their leases were renewed.
    renewed: Instant,
}

struct InFlight {
    handle: Handle,
    file_id: i64,
    topic: String,
    receipt: Receipt,
}

impl Relay<'_> {
    async fn run(&mut self, stop: &CancellationToken) {
        let mut waits = None;
        let mut stopping_since: Option<Instant> = None;
        loop {
            let stopping = stop.is_cancelled();
            if stopping && stopping_since.is_none() {
                stopping_since = Some(Instant::now());
            }
            let (taken, trouble) = match self.round(!stopping).await {
                Ok(round) => {
                    self.missing.say(round.postponed);
                    (round.taken, round.kept)
                }
                Err(error) => (0, Some(error.chain())),
            };
            if let Some(why) = trouble {
                self.outage.fails(why);
                let wait = waits.get_or_insert_with(backoff).next().unwrap_or(LONGEST_WAIT);
                stop.run_until_cancelled(tokio::time::sleep(wait)).await;
            } else {
                self.outage.works();
                waits = None;
                if taken == 0 && !stopping {
                    self.wait(stop).await;
                }
            }
            if stopping && taken == 0 {
                if self.in_flight.is_empty() || stopping_since.is_some_and(|at| at.elapsed() >= STOP_LIMIT) {
                    return;
                }
                tokio::time::sleep(IN_FLIGHT_POLL).await;
            }
        }
    }

    /// What there is: fresh rows first, then, if it is time, the table.
    async fn round(&mut self, look: bool) -> Result<Round> {
        if let Some(pause) = self.pace.pause(Instant::now()) {
            tokio::time::sleep(pause).await;
        }
        let arrived = self.settle_in_flight().await?;
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return Ok(arrived);
        }
        let started = Instant::now();
        let rows = self.fresh.take(self.lane, BATCH);
        let mut round = if rows.is_empty() { Round::default() } else { self.publish_fresh(rows).await? };
        if look
            && self.lane == Lane::Requests
            && round.kept.is_none()
            && self.looked.is_none_or(|at| at.elapsed() >= POLL_INTERVAL)
        {
            let (found, in_flight) = look_into_table(self.ctx).await?;
            self.in_flight.extend(in_flight);
            self.looked = (found.taken == 0).then_some(started);
            round = round.and(found);
        }
        self.pace.round(started, round.taken);
        Ok(round.and(arrived))
    }

    /// Rows that are this process's alone for a while. A crash leaves them in the table.
    async fn publish_fresh(&mut self, rows: Vec<OutboxRow>) -> Result<Round> {
        let handles: Vec<Handle> = rows.iter().map(OutboxRow::handle).collect();
        let (fates, in_flight) = publish(&*self.ctx.broker, rows).await;
        self.in_flight.extend(in_flight);
        faults::point!(RelayPublished);
        let round = self.ctx.db.settle_outbox(handles.into_iter().zip(fates).collect()).await?;
        give_up_parked(self.ctx, round).await
    }

    /// What has become of records that earlier rounds did not wait for. The others' rows stay ours.
    async fn settle_in_flight(&mut self) -> Result<Round> {
        if self.in_flight.is_empty() {
            return Ok(Round::default());
        }
        let mut fates = Vec::new();
        for mut row in std::mem::take(&mut self.in_flight) {
            match (&mut row.receipt).now_or_never() {
                Some(answer) => fates.push((row.handle, fate(&row.topic, row.file_id, answer))),
                None => self.in_flight.push(row),
            }
        }
        let arrived = fates.len();
        if self.renewed.elapsed() >= LEASE_RENEWAL {
            fates.extend(self.in_flight.iter().map(|row| (row.handle.clone(), Fate::InFlight)));
            self.renewed = Instant::now();
        }
        if fates.is_empty() {
            return Ok(Round::default());
        }
        let round = Round { taken: arrived, ..self.ctx.db.settle_outbox(fates).await? };
        give_up_parked(self.ctx, round).await
    }

    async fn wait(&mut self, stop: &CancellationToken) {
        if self.lane == Lane::Facts {
            self.gather(stop).await;
            return;
        }
        let poll = self.looked.map_or(Duration::ZERO, |at| POLL_INTERVAL.saturating_sub(at.elapsed()));
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.fresh.more(self.lane) => {}
            () = self.ctx.outbox.notified() => self.looked = None,
            () = tokio::time::sleep(poll) => {}
            () = tokio::time::sleep(IN_FLIGHT_POLL), if !self.in_flight.is_empty() => {}
        }
    }

    /// Waits until there are facts, and a moment more.
    async fn gather(&self, stop: &CancellationToken) {
        let gathered = async {
            tokio::select! {
                () = self.fresh.more(self.lane) => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(IN_FLIGHT_POLL), if !self.in_flight.is_empty() => {}
            }
        };
        stop.run_until_cancelled(gathered).await;
    }
}

/// Looks into the table once, and waits until each of its records has arrived or failed.
pub async fn once(ctx: &ServeContext) -> Result<Round> {
    let (round, in_flight) = look_into_table(ctx).await?;
    let mut fates = Vec::with_capacity(in_flight.len());
    for row in in_flight {
        fates.push((row.handle, fate(&row.topic, row.file_id, row.receipt.await)));
    }
    if fates.is_empty() {
        return Ok(round);
    }
    let taken = round.taken;
    let late = give_up_parked(ctx, ctx.db.settle_outbox(fates).await?).await?;
    Ok(Round { taken, ..round.and(late) })
}

/// Takes rows that nobody publishes. Those whose records are on their way when this returns are leased.
async fn look_into_table(ctx: &ServeContext) -> Result<(Round, Vec<InFlight>)> {
    let broker = ctx.broker.clone();
    let (tell, in_flight) = oneshot::channel();
    let round = ctx
        .db
        .relay_outbox(BATCH, |rows| async move {
            let (fates, in_flight) = publish(&*broker, rows).await;
            // A receiver that is gone has no use for them.
            let _ = tell.send(in_flight);
            faults::point!(RelayPublished);
            fates
        })
        .await?;
    let round = give_up_parked(ctx, round).await?;
    // Nothing was taken where nothing was told.
    Ok((round, in_flight.await.unwrap_or_default()))
}

async fn give_up_parked(ctx: &ServeContext, mut round: Round) -> Result<Round> {
    if !round.parked.is_empty() {
        // Settled as far as this relay is concerned.
        round.published += round.parked.len();
        files::fail_unpublishable(ctx, std::mem::take(&mut round.parked)).await?;
    }
    Ok(round)
}

/// Publishes rows within `ROUND_LIMIT`: one fate for each, in order; those that are in flight then also come with their
/// receipts.
async fn publish(broker: &dyn Broker, rows: Vec<OutboxRow>) -> (Vec<Fate>, Vec<InFlight>) {
    let limit = tokio::time::Instant::now() + ROUND_LIMIT;
    let mut by_topic: BTreeMap<String, Vec<(usize, Handle, Record)>> = BTreeMap::new();
    let mut fates: Vec<Fate> = rows.iter().map(|_| Fate::Kept("no answer".to_owned())).collect();
    for (index, row) in rows.into_iter().enumerate() {
        let handle = row.handle();
        let record = Record {
            key: row.record_key.map(Bytes::from),
            value: Some(Bytes::from(row.value)),
            headers: publish::headers(row.event_id),
        };
        by_topic.entry(row.topic).or_default().push((index, handle, record));
    }
    let topics = by_topic.into_iter().map(|(topic, rows)| async move {
        let (places, records): (Vec<_>, Vec<_>) =
            rows.into_iter().map(|(index, handle, record)| ((index, handle), record)).unzip();
        let receipts = broker.send(&topic, records).await;
        let mut answers = Vec::with_capacity(receipts.len());
        for mut receipt in receipts {
            answers.push(tokio::time::timeout_at(limit, &mut receipt).await.map_err(|_| receipt));
        }
        (topic, places, answers)
    });
    let mut in_flight = Vec::new();
    for (topic, places, answers) in futures_util::future::join_all(topics).await {
        for ((index, handle), answer) in places.into_iter().zip(answers) {
            let file_id = handle.file_id().0;
            fates[index] = match answer {
                Ok(answer) => fate(&topic, file_id, answer),
                Err(receipt) => {
                    in_flight.push(InFlight { handle, file_id, topic: topic.clone(), receipt });
                    Fate::InFlight
                }
            };
        }
    }
    (fates, in_flight)
}

fn fate(topic: &str, file_id: i64, answer: Result<crate::broker::Position, BrokerError>) -> Fate {
    match answer {
        Ok(position) => {
            log::debug!(file_id, topic, partition = position.partition, offset = position.offset; "record published");
            Fate::Published
        }
        Err(BrokerError::Rejected(reason)) => {
            log::error!(file_id, topic, reason; "record parked");
            Fate::Parked(reason)
        }
        Err(BrokerError::UnknownTopic(_)) => Fate::Postponed,
        Err(BrokerError::PartitionUnavailable(_)) => Fate::Later,
        Err(error @ (BrokerError::Unavailable(_) | BrokerError::Configuration(_))) => {
            Fate::Kept(error.to_string())
        }
    }
}

/// Says of each missing topic now and then that records wait for it.
#[derive(Default)]
struct Missing(BTreeMap<String, Instant>);

impl Missing {
    fn say(&mut self, topics: Vec<String>) {
        const AGAIN: Duration = Duration::from_mins(1);
        let now = Instant::now();
        for topic in topics.into_iter().collect::<BTreeSet<_>>() {
            if self.0.get(&topic).is_none_or(|said| now.duration_since(*said) > AGAIN) {
                log::warn!(topic:% = topic; "records wait for a missing topic; `filesys topics` makes it");
                self.0.insert(topic, now);
            }
        }
    }
}

fn backoff() -> backon::ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build()
}
