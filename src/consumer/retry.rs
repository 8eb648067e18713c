//! Processing of one batch: its records are handled, retried as far as their errors allow, or dead-lettered.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt;

use super::disposition::{Disposition, disposition};
use super::{BatchContext, Handler, limits};
use crate::broker::{Delivery, Position, Undecodable};
use crate::domain::{Error, ErrorCode, Fault};
use crate::telemetry::Outage;

/// Record that is not finished yet.
struct Unfinished {
    delivery: Delivery,
    tries: u32,
    /// Pause that a dependency asked for.
    retry_after: Duration,
    /// The record will never be handled, and its dead letter can't be published yet.
    awaits_dead_letter: bool,
}

impl Unfinished {
    const fn new(delivery: Delivery) -> Self {
        Self { delivery, tries: 0, retry_after: Duration::ZERO, awaits_dead_letter: false }
    }
}

/// Processes a batch until every record is finished: handled or dead-lettered. Aborting it leaves them unfinished.
/// `stall` logs that records wait for a dependency.
pub(super) async fn process(
    handler: Arc<dyn Handler>,
    max_tries: u32,
    stall: Arc<Outage>,
    mut context: BatchContext,
    batch: Vec<Delivery>,
) -> Vec<Position> {
    let finished = batch.iter().map(|delivery| delivery.position.clone()).collect();
    let mut open: Vec<Unfinished> = batch.into_iter().map(Unfinished::new).collect();
    let mut backoff = backoff();
    loop {
        open = Attempt { handler: &*handler, max_tries, stall: &stall, context: &context }.run(open).await;
        if open.is_empty() {
            return finished;
        }
        if open.iter().all(|record| record.awaits_dead_letter) {
            // They wait for the dead letter's partition alone. A permit held meanwhile would keep batches from working
            // that don't need that partition.
            context.park().await;
        }
        context.is_retry = true;
        let retry_after = open.iter().map(|record| record.retry_after).max().unwrap_or_default();
        tokio::time::sleep(retry_after + backoff.next().unwrap_or(limits::MAX_BACKOFF)).await;
    }
}

/// Exponential backoff with jitter, without an end.
fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(limits::FIRST_BACKOFF)
        .with_max_delay(limits::MAX_BACKOFF)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Single pass over what is unfinished of a batch.
struct Attempt<'a> {
    handler: &'a dyn Handler,
    max_tries: u32,
    stall: &'a Outage,
    context: &'a BatchContext,
}

impl Attempt<'_> {
    /// Handles the records once; returns those that have to be retried.
    async fn run(self, records: Vec<Unfinished>) -> Vec<Unfinished> {
        let mut unfinished = Vec::new();
        let mut readable = Vec::with_capacity(records.len());
        for record in records {
            match undecodable(&record.delivery) {
                Some(error) => unfinished.extend(self.on_error(&error, record.delivery, record.tries).await),
                None => readable.push(record),
            }
        }
        if !readable.is_empty() {
            unfinished.extend(self.handle(readable).await);
        }
        unfinished
    }

    async fn handle(&self, records: Vec<Unfinished>) -> Vec<Unfinished> {
        let (batch, tries): (Vec<Delivery>, Vec<u32>) =
            records.into_iter().map(|record| (record.delivery, record.tries)).unzip();
        // A panic counts as a failed try of each record, so that one that always panics ends as a dead letter.
        let outcomes = match AssertUnwindSafe(self.handler.handle(&batch, self.context)).catch_unwind().await
        {
            Ok(outcomes) => outcomes,
            Err(_) => batch.iter().map(|_| Err(Error::internal("the handler panicked"))).collect(),
        };
        let mut unfinished = Vec::new();
        for ((delivery, tries), outcome) in batch.into_iter().zip(tries).zip(outcomes) {
            match outcome {
                Ok(()) => self.stall.works(),
                Err(error) => unfinished.extend(self.on_error(&error, delivery, tries).await),
            }
        }
        unfinished
    }

    /// Dead-letters the record, or returns it when it has to be retried.
    async fn on_error(&self, error: &Error, delivery: Delivery, tries: u32) -> Option<Unfinished> {
        let tries = match disposition(error.kind) {
            Disposition::Wait => {
                self.stall.fails(format_args!("{}: {}", delivery.position, error.chain()));
                let retry_after = error.retry_after.unwrap_or_default().min(limits::MAX_RETRY_AFTER);
                return Some(Unfinished { tries, retry_after, ..Unfinished::new(delivery) });
            }
            Disposition::Retry => tries + 1,
            Disposition::DeadLetter => self.max_tries,
        };
        if tries < self.max_tries {
            log_failure(&delivery, error, tries, "record failed; retrying");
            return Some(Unfinished { tries, ..Unfinished::new(delivery) });
        }
        let failure = self.handler.dead_letter(&delivery, error).await.err()?;
        // The record stays unfinished, so its offset is not committed before its dead letter is published.
        let awaits_dead_letter = failure.kind.fault() == Fault::Dependency;
        if awaits_dead_letter {
            self.stall.fails(format_args!("{}: {}", delivery.position, failure.chain()));
        } else {
            log_failure(&delivery, &failure, tries, "record can't be dead-lettered; retrying");
        }
        let tries = self.max_tries.saturating_sub(1);
        Some(Unfinished { tries, awaits_dead_letter, ..Unfinished::new(delivery) })
    }
}

/// Returns the error of a batch that no client can decode. Its dead letter has to say which offsets are missing from
/// it.
fn undecodable(delivery: &Delivery) -> Option<Error> {
    let Undecodable { next_offset, cause } = delivery.undecodable.as_ref()?;
    let detail = format!(
        "the records at offsets {} to {} can't be decoded, so their values are not here: {cause}",
        delivery.position.offset,
        next_offset - 1
    );
    Some(Error::new(ErrorCode::UndecodableRecords, detail))
}

fn log_failure(delivery: &Delivery, error: &Error, tries: u32, message: &str) {
    let at = &delivery.position;
    log::warn!(topic:% = at.topic, partition = at.partition, offset = at.offset, tries, error:% = error.chain(); "{message}");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use async_trait::async_trait;

    use super::*;
    use crate::broker::Record;
    use crate::consumer::batch::ParkingSpace;

    const RETRY_AFTER: Duration = Duration::from_millis(700);

    /// Fails the first call and records the times of all calls.
    #[derive(Default)]
    struct Busy(Mutex<Vec<Instant>>);

    fn refusal(retry_after: Duration) -> Error {
        let mut error = Error::new(ErrorCode::Busy, "it is busy");
        error.retry_after = Some(retry_after);
        error
    }

    #[async_trait]
    impl Handler for Busy {
        async fn handle(&self, batch: &[Delivery], _context: &BatchContext) -> Vec<Result<(), Error>> {
            let mut calls = self.0.lock().unwrap();
            calls.push(Instant::now());
            let is_first = calls.len() == 1;
            batch.iter().map(|_| if is_first { Err(refusal(RETRY_AFTER)) } else { Ok(()) }).collect()
        }

        async fn dead_letter(&self, _delivery: &Delivery, _error: &Error) -> Result<(), Error> {
            panic!("an outage dead-letters nothing");
        }
    }

    fn delivery() -> Delivery {
        let position = Position { topic: "t".into(), partition: 0, offset: 0 };
        Delivery { position, timestamp_ms: 0, record: Record::default(), undecodable: None }
    }

    #[tokio::test]
    async fn the_pause_that_a_dependency_asks_for_is_kept() {
        let (busy, stall) = (Arc::new(Busy::default()), Arc::new(Outage::new("stalled", "resumed")));
        let batch = vec![delivery()];
        let context = BatchContext::new(None, ParkingSpace::default(), &batch);
        process(Arc::clone(&busy) as Arc<dyn Handler>, 1, stall, context, batch).await;
        let calls = busy.0.lock().unwrap();
        assert_eq!(calls.len(), 2);
        assert!(calls[1] - calls[0] >= RETRY_AFTER, "{:?}", calls[1] - calls[0]);
    }

    #[tokio::test]
    async fn one_that_asks_for_a_day_is_asked_again_sooner() {
        let stall = Outage::new("stalled", "resumed");
        let context = BatchContext::new(None, ParkingSpace::default(), &[]);
        let attempt = Attempt { handler: &Busy::default(), max_tries: 1, stall: &stall, context: &context };
        let day = Duration::from_hours(24);
        let record = attempt.on_error(&refusal(day), delivery(), 0).await.expect("it stays unfinished");
        assert_eq!((record.retry_after, record.tries), (limits::MAX_RETRY_AFTER, 0));
    }
}
