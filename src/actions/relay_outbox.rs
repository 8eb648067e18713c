//! Publish what has committed: the outbox to Kafka, as many relays at once as there are instances.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{ServeContext, announce, rescue_files};
use crate::broker::{Broker, BrokerError, Record};
use crate::db::outbox::{Fate, OutboxRow, Round};
use crate::domain::Result;
use crate::faults;
use crate::telemetry::Outage;

/// Rows in one transaction.
const BATCH: i64 = 500;
/// For commits whose wake-up got lost.
const POLL: Duration = Duration::from_secs(1);
/// Between two tries of what fails; jitter adds up to as much again.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Relays until `stop`; the round under way is finished. Woken by this process's commits at once, by those of others
/// through PostgreSQL, and by a slow poll.
pub async fn run(ctx: ServeContext, stop: CancellationToken) {
    let outage = Outage::new("outbox waits", "outbox flows again");
    let mut missing = Missing::default();
    let mut waits = None;
    while !stop.is_cancelled() {
        let (taken, trouble) = match once(&ctx).await {
            Ok(round) => {
                missing.say(round.postponed);
                (round.taken, round.kept)
            }
            Err(error) => (0, Some(error.chain())),
        };
        let wait = if let Some(why) = trouble {
            outage.fails(why);
            waits.get_or_insert_with(backoff).next().unwrap_or(LONGEST_WAIT)
        } else {
            outage.works();
            waits = None;
            if taken > 0 { Duration::ZERO } else { POLL }
        };
        if wait == POLL {
            tokio::select! {
                () = stop.cancelled() => {}
                () = ctx.outbox.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        } else if !wait.is_zero() {
            stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }
}

/// One round.
pub async fn once(ctx: &ServeContext) -> Result<Round> {
    let broker = ctx.broker.clone();
    let mut round = ctx
        .db
        .relay_outbox(BATCH, |rows| async move {
            let fates = publish(&*broker, rows).await;
            faults::point!(RelayPublished);
            fates
        })
        .await?;
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
