//! One batch: handled, tried again as far as its errors allow, or put aside.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt;

use super::Handler;
use crate::broker::{Delivery, Position};
use crate::consumer::disposition::{Disposition, disposition};
use crate::domain::Error;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

struct Item {
    delivery: Delivery,
    tries: u32,
}

/// Returns once every record of the batch is settled: handled, or put aside. Aborting it leaves them unsettled.
pub(super) async fn run(handler: Arc<dyn Handler>, max_tries: u32, batch: Vec<Delivery>) -> Vec<Position> {
    let settled = batch.iter().map(|delivery| delivery.position.clone()).collect();
    let mut open: Vec<Item> = batch.into_iter().map(|delivery| Item { delivery, tries: 0 }).collect();
    let mut waits = waits();
    loop {
        open = attempt(&*handler, max_tries, open).await;
        if open.is_empty() {
            return settled;
        }
        tokio::time::sleep(waits.next().unwrap_or(LONGEST_WAIT)).await;
    }
}

/// Exponential with full jitter, without an end.
fn waits() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Handles what is open once; returns what has to be tried again.
async fn attempt(handler: &dyn Handler, max_tries: u32, open: Vec<Item>) -> Vec<Item> {
    let (batch, tries): (Vec<Delivery>, Vec<u32>) = open.into_iter().map(|i| (i.delivery, i.tries)).unzip();
    let answers = match AssertUnwindSafe(handler.handle(&batch)).catch_unwind().await {
        Ok(answers) => answers,
        Err(_) => batch.iter().map(|_| Err(Error::internal("the handler panicked"))).collect(),
    };
    let mut again = Vec::new();
    for ((delivery, tries), answer) in batch.into_iter().zip(tries).zip(answers) {
        let Err(error) = answer else { continue };
        let tries = match disposition(error.kind) {
            Disposition::Wait => {
                say(&delivery, &error, tries, "record waits");
                again.push(Item { delivery, tries });
                continue;
            }
            Disposition::Retry => tries + 1,
            Disposition::GiveUp => max_tries,
        };
        if tries < max_tries {
            say(&delivery, &error, tries, "record is tried again");
            again.push(Item { delivery, tries });
        } else if let Err(trouble) = handler.give_up(&delivery, &error).await {
            // Nothing is dropped: it stays open until it can be put aside.
            say(&delivery, &trouble, tries, "record can't be put aside");
            again.push(Item { delivery, tries: max_tries.saturating_sub(1) });
        }
    }
    again
}

fn say(delivery: &Delivery, error: &Error, tries: u32, what: &str) {
    let at = &delivery.position;
    log::warn!(topic:% = at.topic, partition = at.partition, offset = at.offset, tries, error:% = error.chain(); "{what}");
}
