//! Ask for a file: row, first transition and message commit together; requests that arrive meanwhile share the next
//! commit.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "chaos")]
use super::planted;
use super::{ServeContext, moves};
use crate::db::DbError;
use crate::db::files::{NewRow, NextIds};
use crate::domain::idempotency::KEPT;
use crate::domain::{Error, ErrorKind, FactType, File, IdempotencyKey, NewFile, Result};
use crate::faults;

/// Requests waiting for their commit; past it callers are told to come back.
pub(super) const QUEUE: usize = 4096;
/// Requests in one commit.
const BATCH: usize = 512;
/// So many requests at once are a crowd. Clients that were answered together come again together, this soon: those who
/// come within `GATHER` of the first share its commit, with ids that came with the commit before.
const CROWD: usize = 8;
const SOON: Duration = Duration::from_millis(50);
const GATHER: Duration = Duration::from_millis(2);
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// A request on its way into the database.
pub struct Intake {
    new: NewFile,
    key: Option<IdempotencyKey>,
    reply: oneshot::Sender<Result<Accepted>>,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Accepted {
    pub file: File,
    /// It is that of an earlier request with the same key, as it is now.
    pub replayed: bool,
}

/// Answers once the file is stored and its message is on its way. After an `Unavailable` it may be stored all the
/// same; with a key, asking again tells. A key that was used for another request is `Invalid`.
pub async fn request(ctx: &ServeContext, new: NewFile, key: Option<IdempotencyKey>) -> Result<Accepted> {
    let busy = || {
        ctx.overload.fails("requests come faster than they are stored");
        Error::new(ErrorKind::Unavailable, "overloaded", "too many requests are waiting; try again shortly")
    };
    let (reply, answer) = oneshot::channel();
    ctx.intake.send_timeout(Intake { new, key, reply }, QUEUE_WAIT).await.map_err(|_| busy())?;
    let stored = answer.await.map_err(|_| busy())?;
    ctx.overload.works();
    stored
}

/// Stores what piles up in the queue, one commit after the other, until `stop`; what is queued by then is still
/// stored. A lone request waits for nothing.
pub async fn run(ctx: ServeContext, mut queue: mpsc::Receiver<Intake>, stop: CancellationToken) {
    let mut batch = Vec::new();
    let mut outlook = Outlook::default();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            count = queue.recv_many(&mut batch, BATCH) => if count == 0 { return },
        }
        outlook.look();
        gather(&mut queue, &mut batch, outlook.crowd).await;
        let (requests, replies): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|intake| ((intake.new, intake.key), intake.reply)).unzip();
        outlook.expect(replies.len() + queue.len());
        let answers: Vec<Result<Accepted>> = match store(&ctx, &mut outlook, requests).await {
            Ok(answers) => answers,
            Err(error) => {
                let answers: Vec<Result<Accepted>> =
                    replies.iter().map(|_| Err(error.clone().into())).collect();
                log::debug!(requests = replies.len(), error:% = error; "requests not stored");
                answers
            }
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            // The caller may have gone; the file is made all the same.
            let _ = reply.send(answer);
        }
    }
}

/// Collects requests until the whole crowd is there, or a moment has passed.
async fn gather(queue: &mut mpsc::Receiver<Intake>, batch: &mut Vec<Intake>, crowd: usize) {
    let late = Instant::now() + GATHER;
    while let Some(missing @ 1..) = crowd.checked_sub(batch.len()) {
        match timeout_at(late, queue.recv_many(batch, missing)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// What to expect of the next round, by the last one.
#[derive(Default)]
struct Outlook {
    /// How many are likely to come; 0 when nobody is.
    crowd: usize,
    /// Ids for these requests, if an earlier commit has brought them.
    ids: Option<NextIds>,
}

impl Outlook {
    /// Older ids are not used: other processes may have given out higher ones meanwhile.
    fn look(&mut self) {
        if self.ids.as_ref().is_none_or(|ids| ids.age() > SOON) {
            *self = Self::default();
        }
    }

    /// So many are here.
    fn expect(&mut self, count: usize) {
        self.crowd = if count < CROWD { 0 } else { count.min(BATCH) };
    }
}

async fn store(
    ctx: &ServeContext,
    outlook: &mut Outlook,
    requests: Vec<(NewFile, Option<IdempotencyKey>)>,
) -> Result<Vec<Result<Accepted>>, DbError> {
    let ids = match outlook.ids.take() {
        Some(ids) if ids.ids.len() >= requests.len() => ids,
        _ => ctx.db.next_file_ids(requests.len()).await?,
    };
    let now = ids.now();
    let mut wanted = Vec::with_capacity(requests.len());
    let mut rows = Vec::with_capacity(requests.len());
    for (id, (new, key)) in ids.ids.into_iter().zip(requests) {
        let file = File::accepted(id, &new, now);
        rows.push(NewRow {
            deadline_at: now.plus(ctx.file_deadline),
            messages: vec![moves::request(&file), moves::fact(&file, FactType::Requested)],
            file: file.clone(),
            key,
        });
        wanted.push((new, file));
    }
    faults::plant!(ProduceOutsideTransaction {
        let known = planted::store_then_publish(ctx, rows, KEPT).await?;
        return Ok(wanted.into_iter().zip(known).map(|((new, file), known)| answer(&new, file, known)).collect());
    });
    let (known, next) = ctx.db.insert_files(rows, KEPT, outlook.crowd).await?;
    faults::point!(ServeCommitted);
    outlook.ids = Some(next);
    Ok(wanted.into_iter().zip(known).map(|((new, file), known)| answer(&new, file, known)).collect())
}

fn answer(new: &NewFile, stored: File, known: Option<File>) -> Result<Accepted> {
    match known {
        None => {
            log::debug!(file_id = stored.id.0, attempt = stored.attempt.0; "request received");
            Ok(Accepted { file: stored, replayed: false })
        }
        Some(file) if new.is_of(&file) => {
            log::debug!(file_id = file.id.0; "request repeated");
            Ok(Accepted { file, replayed: true })
        }
        Some(_) => Err(Error::new(
            ErrorKind::Invalid,
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request; take a new one for each file",
        )),
    }
}
