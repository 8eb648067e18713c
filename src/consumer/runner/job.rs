//! Processing of one batch: handled, tried again as far as its errors allow, or dead-lettered.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt;

use super::{Handler, Turn};
use crate::broker::{Delivery, Position, Undecodable};
use crate::consumer::disposition::{Disposition, disposition};
use crate::domain::{Error, ErrorKind, Fault};
use crate::telemetry::Outage;

const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Jitter adds up to as much again: so soon work goes on after an outage.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Also when a dependency asks for more.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

struct Item {
    delivery: Delivery,
    tries: u32,
    /// What a dependency asked for.
    wait: Duration,
    /// It will never be handled, and can't be put aside yet.
    is_given_up: bool,
}

impl Item {
    const fn new(delivery: Delivery) -> Self {
        Self { delivery, tries: 0, wait: Duration::ZERO, is_given_up: false }
    }
}

/// Returns once every record of the batch is settled: handled, or put aside. Aborting it leaves them unsettled.
/// Whether records wait for a dependency is told by `waits`.
pub(super) async fn run(
    handler: Arc<dyn Handler>,
    max_tries: u32,
    waits: Arc<Outage>,
    mut turn: Turn,
    batch: Vec<Delivery>,
) -> Vec<Position> {
    let settled = batch.iter().map(|delivery| delivery.position.clone()).collect();
    let mut open: Vec<Item> = batch.into_iter().map(Item::new).collect();
    let mut pauses = pauses();
    loop {
        open = Round { handler: &*handler, max_tries, waits: &waits, turn: &turn }.attempt(open).await;
        if open.is_empty() {
            return settled;
        }
        if open.iter().all(|item| item.is_given_up) {
            // They wait for a dead letter's partition, which others may have no need of.
            turn.step_aside().await;
        }
        turn.again = true;
        let asked = open.iter().map(|item| item.wait).max().unwrap_or_default();
        tokio::time::sleep(asked + pauses.next().unwrap_or(LONGEST_WAIT)).await;
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
    turn: &'a Turn,
}

impl Round<'_> {
    /// Handles what is open once; returns what has to be tried again.
    async fn attempt(self, open: Vec<Item>) -> Vec<Item> {
        let mut again = Vec::new();
        let mut readable = Vec::with_capacity(open.len());
        for item in open {
            match undecodable(&item.delivery) {
                Some(error) => again.extend(self.after(&error, item.delivery, item.tries).await),
                None => readable.push(item),
            }
        }
        if !readable.is_empty() {
            again.extend(self.handle(readable).await);
        }
        again
    }

    async fn handle(&self, open: Vec<Item>) -> Vec<Item> {
        let (batch, tries): (Vec<Delivery>, Vec<u32>) =
            open.into_iter().map(|i| (i.delivery, i.tries)).unzip();
        let answers = match AssertUnwindSafe(self.handler.handle(&batch, self.turn)).catch_unwind().await {
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
                let wait = error.retry_after.unwrap_or_default().min(LONGEST_ASKED);
                return Some(Item { tries, wait, ..Item::new(delivery) });
            }
            Disposition::Retry => tries + 1,
            Disposition::GiveUp => self.max_tries,
        };
        if tries < self.max_tries {
            say(&delivery, error, tries, "record is tried again");
            return Some(Item { tries, ..Item::new(delivery) });
        }
        let trouble = self.handler.give_up(&delivery, error).await.err()?;
        // Nothing is dropped: it stays open until it can be put aside.
        let is_given_up = trouble.kind.fault() == Fault::Dependency;
        if is_given_up {
            self.waits.fails(format_args!("{}: {}", delivery.position, trouble.chain()));
        } else {
            say(&delivery, &trouble, tries, "record can't be put aside");
        }
        let tries = self.max_tries.saturating_sub(1);
        Some(Item { tries, is_given_up, ..Item::new(delivery) })
    }
}

/// A dead letter has to say what is missing from it.
fn undecodable(delivery: &Delivery) -> Option<Error> {
    let Undecodable { next_offset, cause } = delivery.undecodable.as_ref()?;
    let detail = format!(
        "the records at offsets {} to {} can't be decoded, so their values are not here: {cause}",
        delivery.position.offset,
        next_offset - 1
    );
    Some(Error::new(ErrorKind::Malformed, "undecodable_records", detail))
}

fn say(delivery: &Delivery, error: &Error, tries: u32, what: &str) {
    let at = &delivery.position;
    log::warn!(topic:% = at.topic, partition = at.partition, offset = at.offset, tries, error:% = error.chain(); "{what}");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use async_trait::async_trait;

    use super::*;
    use crate::broker::Record;
    use crate::consumer::turn::Aside;

    const ASKED: Duration = Duration::from_millis(700);

    /// Is refused at first and remembers when it was called.
    #[derive(Default)]
    struct Busy(Mutex<Vec<Instant>>);

    fn refusal(wait: Duration) -> Error {
        let mut error = Error::new(ErrorKind::Unavailable, "busy", "it is busy");
        error.retry_after = Some(wait);
        error
    }

    #[async_trait]
    impl Handler for Busy {
        async fn handle(&self, batch: &[Delivery], _turn: &Turn) -> Vec<Result<(), Error>> {
            let mut calls = self.0.lock().unwrap();
            calls.push(Instant::now());
            let is_first = calls.len() == 1;
            batch.iter().map(|_| if is_first { Err(refusal(ASKED)) } else { Ok(()) }).collect()
        }

        async fn give_up(&self, _delivery: &Delivery, _error: &Error) -> Result<(), Error> {
            panic!("nothing is given up for an outage");
        }
    }

    fn delivery() -> Delivery {
        let position = Position { topic: "t".into(), partition: 0, offset: 0 };
        Delivery { position, timestamp_ms: 0, record: Record::default(), undecodable: None }
    }

    #[tokio::test]
    async fn a_dependency_that_asks_for_time_is_given_it() {
        let (busy, waits) = (Arc::new(Busy::default()), Arc::new(Outage::new("waits", "flows")));
        let batch = vec![delivery()];
        let turn = Turn::new(None, Aside::default(), &batch);
        run(Arc::clone(&busy) as Arc<dyn Handler>, 1, waits, turn, batch).await;
        let calls = busy.0.lock().unwrap();
        assert_eq!(calls.len(), 2);
        assert!(calls[1] - calls[0] >= ASKED, "{:?}", calls[1] - calls[0]);
    }

    #[tokio::test]
    async fn one_that_asks_for_a_day_is_asked_again_all_the_same() {
        let waits = Outage::new("waits", "flows");
        let turn = Turn::new(None, Aside::default(), &[]);
        let round = Round { handler: &Busy::default(), max_tries: 1, waits: &waits, turn: &turn };
        let day = Duration::from_hours(24);
        let item = round.after(&refusal(day), delivery(), 0).await.expect("it stays open");
        assert_eq!((item.wait, item.tries), (LONGEST_ASKED, 0));
    }
}
