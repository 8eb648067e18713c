//! One batch: handled, tried again as far as its errors allow, or put aside.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt;

use super::Handler;
use crate::broker::{Delivery, Position};
use crate::consumer::disposition::{Disposition, disposition};
use crate::domain::{Error, Fault};
use crate::telemetry::Outage;

const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Jitter adds up to as much again: so soon work goes on after an outage.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

struct Item {
    delivery: Delivery,
    tries: u32,
}

/// Returns once every record of the batch is settled: handled, or put aside. Aborting it leaves them unsettled.
/// Whether records wait for a dependency is told by `waits`.
pub(super) async fn run(
    handler: Arc<dyn Handler>,
    max_tries: u32,
    waits: Arc<Outage>,
    batch: Vec<Delivery>,
) -> Vec<Position> {
    let settled = batch.iter().map(|delivery| delivery.position.clone()).collect();
    let mut open: Vec<Item> = batch.into_iter().map(|delivery| Item { delivery, tries: 0 }).collect();
    let mut pauses = pauses();
    let mut again = false;
    loop {
        open = Round { handler: &*handler, max_tries, waits: &waits, again }.attempt(open).await;
        if open.is_empty() {
            return settled;
        }
        again = true;
        tokio::time::sleep(pauses.next().unwrap_or(LONGEST_WAIT)).await;
    }
}

/// Exponential with jitter, without an end.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build()
}

struct Round<'a> {
    handler: &'a dyn Handler,
    max_tries: u32,
    waits: &'a Outage,
    again: bool,
}

impl Round<'_> {
    /// Handles what is open once; returns what has to be tried again.
    async fn attempt(self, open: Vec<Item>) -> Vec<Item> {
        let (batch, tries): (Vec<Delivery>, Vec<u32>) =
            open.into_iter().map(|i| (i.delivery, i.tries)).unzip();
        let answers = match AssertUnwindSafe(self.handler.handle(&batch, self.again)).catch_unwind().await {
            Ok(answers) => answers,
            Err(_) => batch.iter().map(|_| Err(Error::internal("the handler panicked"))).collect(),
        };
        let mut again = Vec::new();
        for ((delivery, tries), answer) in batch.into_iter().zip(tries).zip(answers) {
            match answer {
                Ok(()) => self.waits.works(),
                Err(error) => again.extend(self.after(&error, delivery, tries).await),
            }
        }
        again
    }

    /// The record, if it has to be tried again.
    async fn after(&self, error: &Error, delivery: Delivery, tries: u32) -> Option<Item> {
        let tries = match disposition(error.kind) {
            Disposition::Wait => {
                self.waits.fails(format_args!("{}: {}", delivery.position, error.chain()));
                return Some(Item { delivery, tries });
            }
            Disposition::Retry => tries + 1,
            Disposition::GiveUp => self.max_tries,
        };
        if tries < self.max_tries {
            say(&delivery, error, tries, "record is tried again");
            return Some(Item { delivery, tries });
        }
        let trouble = self.handler.give_up(&delivery, error).await.err()?;
        // Nothing is dropped: it stays open until it can be put aside.
        if trouble.kind.fault() == Fault::Dependency {
            self.waits.fails(format_args!("{}: {}", delivery.position, trouble.chain()));
        } else {
            say(&delivery, &trouble, tries, "record can't be put aside");
        }
        Some(Item { delivery, tries: self.max_tries.saturating_sub(1) })
    }
}

fn say(delivery: &Delivery, error: &Error, tries: u32, what: &str) {
    let at = &delivery.position;
    log::warn!(topic:% = at.topic, partition = at.partition, offset = at.offset, tries, error:% = error.chain(); "{what}");
}
