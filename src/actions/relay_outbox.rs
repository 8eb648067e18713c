//! Publish what has committed: the outbox to Kafka, as many relays at once as there are instances.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{ServeContext, announce, rescue_files};
use crate::broker::{Broker, BrokerError, Record};
use crate::db::fresh::{FreshRows, Lane};
use crate::db::outbox::{Fate, Handle, OutboxRow, Round};
use crate::domain::{Pace, Result};
use crate::faults;
use crate::telemetry::Outage;

/// Rows in one round.
const BATCH: usize = 500;
/// For commits whose wake-up got lost, and rows that a relay has left.
const POLL: Duration = Duration::from_secs(1);
/// Under load, between the beginnings of two rounds.
const EVERY: Duration = Duration::from_millis(20);
/// Rows in a round under load.
const CROWD: usize = 16;
/// Nobody's work waits for facts: those of a file that is made at once go out together, out of the way of its request.
const GATHER: Duration = Duration::from_millis(50);
/// Between two tries of what fails; jitter adds up to as much again.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

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
    };
    let mut requests =
        lane(Lane::Requests, Pace::new(EVERY, CROWD), Outage::new("outbox waits", "outbox flows again"));
    let mut facts = lane(Lane::Facts, Pace::new(GATHER, 1), Outage::new("facts wait", "facts flow again"));
    tokio::join!(requests.run(&stop), facts.run(&stop));
}

/// Of one lane; that of the requests looks into the table as well.
struct Relay<'a> {
    ctx: &'a ServeContext,
    fresh: &'a FreshRows,
    lane: Lane,
    outage: Outage,
    /// When there was nothing more to take from the table.
    looked: Option<Instant>,
    pace: Pace,
    missing: Missing,
}

impl Relay<'_> {
    async fn run(&mut self, stop: &CancellationToken) {
        let mut waits = None;
        loop {
            let stopping = stop.is_cancelled();
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
                return;
            }
        }
    }

    /// What there is: fresh rows first, then, if it is time, the table.
    async fn round(&mut self, look: bool) -> Result<Round> {
        if let Some(pause) = self.pace.pause(Instant::now()) {
            tokio::time::sleep(pause).await;
        }
        let started = Instant::now();
        let rows = self.fresh.take(self.lane, BATCH);
        let mut round =
            if rows.is_empty() { Round::default() } else { publish_fresh(self.ctx, rows).await? };
        if look
            && self.lane == Lane::Requests
            && round.kept.is_none()
            && self.looked.is_none_or(|at| at.elapsed() >= POLL)
        {
            let found = once(self.ctx).await?;
            self.looked = (found.taken == 0).then_some(started);
            round = round.and(found);
        }
        self.pace.round(started, round.taken);
        Ok(round)
    }

    async fn wait(&mut self, stop: &CancellationToken) {
        if self.lane == Lane::Facts {
            self.gather(stop).await;
            return;
        }
        let poll = self.looked.map_or(Duration::ZERO, |at| POLL.saturating_sub(at.elapsed()));
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.fresh.more(self.lane) => {}
            () = self.ctx.outbox.notified() => self.looked = None,
            () = tokio::time::sleep(poll) => {}
        }
    }

    /// Until there are facts, and a moment more.
    async fn gather(&self, stop: &CancellationToken) {
        let gathered = async {
            self.fresh.more(self.lane).await;
            tokio::time::sleep(GATHER).await;
        };
        stop.run_until_cancelled(gathered).await;
    }
}

/// One look into the table.
pub async fn once(ctx: &ServeContext) -> Result<Round> {
    let broker = ctx.broker.clone();
    let round = ctx
        .db
        .relay_outbox(BATCH, |rows| async move {
            let fates = publish(&*broker, rows).await;
            faults::point!(RelayPublished);
            fates
        })
        .await?;
    give_up_parked(ctx, round).await
}

/// Rows that are this process's alone for a while. A crash leaves them in the table.
async fn publish_fresh(ctx: &ServeContext, rows: Vec<OutboxRow>) -> Result<Round> {
    let handles: Vec<Handle> = rows.iter().map(OutboxRow::handle).collect();
    let fates = publish(&*ctx.broker, rows).await;
    faults::point!(RelayPublished);
    let round = ctx.db.settle_outbox(handles.into_iter().zip(fates).collect()).await?;
    give_up_parked(ctx, round).await
}

async fn give_up_parked(ctx: &ServeContext, mut round: Round) -> Result<Round> {
    if !round.parked.is_empty() {
        // Settled as far as this relay is concerned.
        round.published += round.parked.len();
        rescue_files::fail_unpublishable(ctx, std::mem::take(&mut round.parked)).await?;
    }
    Ok(round)
}

async fn publish(broker: &dyn Broker, rows: Vec<OutboxRow>) -> Vec<Fate> {
    let mut by_topic: BTreeMap<String, Vec<(usize, i64, Record)>> = BTreeMap::new();
    let mut fates: Vec<Fate> = rows.iter().map(|_| Fate::Kept("no answer".to_owned())).collect();
    for (index, row) in rows.into_iter().enumerate() {
        let record = Record {
            key: row.record_key.map(Bytes::from),
            value: Some(Bytes::from(row.value)),
            headers: announce::headers(row.event_id),
        };
        by_topic.entry(row.topic).or_default().push((index, row.file_id, record));
    }
    let topics = by_topic.into_iter().map(|(topic, rows)| async move {
        let (places, records): (Vec<_>, Vec<_>) =
            rows.into_iter().map(|(index, file_id, record)| ((index, file_id), record)).unzip();
        let answers = broker.publish(&topic, records).await;
        (topic, places, answers)
    });
    for (topic, places, answers) in futures_util::future::join_all(topics).await {
        for ((index, file_id), answer) in places.into_iter().zip(answers) {
            fates[index] = fate(&topic, file_id, answer);
        }
    }
    fates
}

fn fate(topic: &str, file_id: i64, answer: Result<crate::broker::Position, BrokerError>) -> Fate {
    match answer {
        Ok(position) => {
            log::info!(file_id, topic, partition = position.partition, offset = position.offset; "record published");
            Fate::Published
        }
        Err(BrokerError::Rejected(reason)) => {
            log::error!(file_id, topic, reason; "record parked");
            Fate::Parked(reason)
        }
        Err(BrokerError::UnknownTopic(_)) => Fate::Postponed,
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
