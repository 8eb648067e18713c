//! Commit requests for files: row, first history entry, idempotency key and messages of up to 512 requests in one transaction.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::actions::create_queue::{CreateRequest, Created};
use crate::actions::files::transition;
use crate::actions::{ServeContext, batch};
use crate::db::files::{NewFileRow, ReservedIds};
use crate::domain::idempotency::IDEMPOTENCY_KEY_TTL;
use crate::domain::{Error, ErrorCode, EventType, File, IdempotencyKey, NewFile, Result};
use crate::faults;

/// Requests in one commit.
const MAX_BATCH: usize = 512;
/// Number of requests in one commit from which the next commit lingers: clients that were answered together tend to
/// come again together.
const BATCHING_THRESHOLD: usize = 8;
/// Time that a commit under load waits for as many requests as the one before had.
const LINGER: Duration = Duration::from_millis(2);
/// Age past which ids and the expected batch size are forgotten.
const FORECAST_MAX_AGE: Duration = Duration::from_millis(50);

/// Commits queued requests, one transaction after the other, until `stop`; what is queued by then is still committed. A
/// lone request never lingers.
pub async fn run(ctx: ServeContext, mut queue: mpsc::Receiver<CreateRequest>, stop: CancellationToken) {
    let mut queued = Vec::new();
    let mut forecast = Forecast::default();
    loop {
        tokio::select! {
            // Stopping is looked at first, so that a steady stream of requests cannot put it off.
            biased;
            () = stop.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            count = queue.recv_many(&mut queued, MAX_BATCH) => if count == 0 { return },
        }
        forecast.expire();
        linger(&mut queue, &mut queued, forecast.batch_size).await;
        let (requests, replies): (Vec<Request>, Vec<_>) =
            queued.drain(..).map(|request| ((request.new, request.key), request.reply)).unzip();
        // Counted before the commit: requests that queue up meanwhile show load as well.
        forecast.update(replies.len() + queue.len());
        let together = commit(&ctx, &mut forecast, &requests).await;
        let ctx = &ctx;
        // Ids of the forecast went with the transaction that was refused.
        let each = |one| async move { commit(ctx, &mut Forecast::default(), one).await }.boxed();
        let answers = batch::else_each(together, &requests, each).await;
        for (reply, answer) in replies.into_iter().zip(answers) {
            // The client may have hung up; its file is committed all the same.
            let _ = reply.send(answer);
        }
    }
}

/// Collects requests until the batch has `expected` of them or `LINGER` has passed.
async fn linger(queue: &mut mpsc::Receiver<CreateRequest>, batch: &mut Vec<CreateRequest>, expected: usize) {
    let deadline = Instant::now() + LINGER;
    while let Some(missing @ 1..) = expected.checked_sub(batch.len()) {
        match timeout_at(deadline, queue.recv_many(batch, missing)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Expectation for the next commit, taken from the last one.
#[derive(Default)]
struct Forecast {
    /// Expected number of requests; 0 while there is no load.
    batch_size: usize,
    /// Ids for these requests, reserved by the last commit to save a round trip.
    ids: Option<ReservedIds>,
}

impl Forecast {
    /// Forgets a forecast that is too old. Ids reserved earlier must not be used then: other processes may have given out
    /// higher ones, and ids would no longer follow the order of creation.
    fn expire(&mut self) {
        if self.ids.as_ref().is_none_or(|ids| ids.age() > FORECAST_MAX_AGE) {
            *self = Self::default();
        }
    }

    /// Expects as many requests next as there were now.
    fn update(&mut self, count: usize) {
        self.batch_size = if count < BATCHING_THRESHOLD { 0 } else { count.min(MAX_BATCH) };
    }
}

/// A request and its idempotency key.
type Request = (NewFile, Option<IdempotencyKey>);

/// Commits requests in one transaction.
async fn commit(
    ctx: &ServeContext,
    forecast: &mut Forecast,
    requests: &[Request],
) -> Result<Vec<Result<Created>>> {
    let ids = match forecast.ids.take() {
        Some(ids) if ids.ids.len() >= requests.len() => ids,
        _ => ctx.db.files().reserve_ids(requests.len()).await?,
    };
    let now = ids.now();
    let mut wanted = Vec::with_capacity(requests.len());
    let mut rows = Vec::with_capacity(requests.len());
    for (id, (new, key)) in ids.ids.into_iter().zip(requests) {
        let file = new.to_file(id, now);
        rows.push(NewFileRow {
            deadline_at: now.plus(ctx.file_deadline),
            messages: vec![
                transition::request(&file)?,
                transition::event(&file, EventType::Requested, &ctx.events)?,
            ],
            file: file.clone(),
            key: key.clone(),
        });
        wanted.push((new, file));
    }
    let (known, next) = ctx.db.files().insert(rows, IDEMPOTENCY_KEY_TTL, forecast.batch_size).await?;
    faults::point!(ServeCommitted);
    forecast.ids = Some(next);
    Ok(wanted.into_iter().zip(known).map(|((new, file), known)| answer(new, file, known)).collect())
}

fn answer(new: &NewFile, stored: File, known: Option<File>) -> Result<Created> {
    match known {
        None => {
            log::debug!(file_id = stored.id.0, attempt = stored.attempt.0; "request received");
            Ok(Created { file: stored, replayed: false })
        }
        Some(file) if new.is_of(&file) => {
            log::debug!(file_id = file.id.0; "request repeated");
            Ok(Created { file, replayed: true })
        }
        Some(_) => Err(Error::new(
            ErrorCode::IdempotencyKeyReused,
            "this Idempotency-Key was used for another request; take a new one for each file",
        )),
    }
}
