//! Commit requests for files: row, first history entry, idempotency key and messages of up to 512 requests in one transaction.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::actions::ServeContext;
use crate::actions::create_queue::{CreateRequest, Created};
use crate::actions::files::transition;
use crate::db::DbError;
use crate::db::files::{NewRow, NextIds};
use crate::domain::idempotency::IDEMPOTENCY_KEY_TTL;
use crate::domain::{Error, ErrorKind, EventType, File, IdempotencyKey, NewFile, Result};
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
    let mut batch = Vec::new();
    let mut forecast = Forecast::default();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            count = queue.recv_many(&mut batch, MAX_BATCH) => if count == 0 { return },
        }
        forecast.expire();
        linger(&mut queue, &mut batch, forecast.batch_size).await;
        let (requests, replies): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|request| ((request.new, request.key), request.reply)).unzip();
        forecast.update(replies.len() + queue.len());
        let answers: Vec<Result<Created>> = match commit(&ctx, &mut forecast, requests).await {
            Ok(answers) => answers,
            Err(error) => {
                let answers: Vec<Result<Created>> =
                    replies.iter().map(|_| Err(error.clone().into())).collect();
                log::debug!(requests = replies.len(), error:% = error; "requests not committed");
                answers
            }
        };
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

/// What the last commit tells about the next one.
#[derive(Default)]
struct Forecast {
    /// Expected number of requests; 0 while there is no load.
    batch_size: usize,
    /// Ids for these requests, reserved by the last commit to save a round trip.
    ids: Option<NextIds>,
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

async fn commit(
    ctx: &ServeContext,
    forecast: &mut Forecast,
    requests: Vec<(NewFile, Option<IdempotencyKey>)>,
) -> Result<Vec<Result<Created>>, DbError> {
    let ids = match forecast.ids.take() {
        Some(ids) if ids.ids.len() >= requests.len() => ids,
        _ => ctx.db.next_file_ids(requests.len()).await?,
    };
    let now = ids.now();
    let mut wanted = Vec::with_capacity(requests.len());
    let mut rows = Vec::with_capacity(requests.len());
    for (id, (new, key)) in ids.ids.into_iter().zip(requests) {
        let file = new.to_file(id, now);
        rows.push(NewRow {
            deadline_at: now.plus(ctx.file_deadline),
            messages: vec![transition::request(&file), transition::fact(&file, EventType::Requested)],
            file: file.clone(),
            key,
        });
        wanted.push((new, file));
    }
    let (known, next) = ctx.db.insert_files(rows, IDEMPOTENCY_KEY_TTL, forecast.batch_size).await?;
    faults::point!(ServeCommitted);
    forecast.ids = Some(next);
    Ok(wanted.into_iter().zip(known).map(|((new, file), known)| answer(&new, file, known)).collect())
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
            ErrorKind::Invalid,
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request; take a new one for each file",
        )),
    }
}
