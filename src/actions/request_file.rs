//! Ask for a file: row, first transition and message commit together; requests that arrive meanwhile share the next
//! commit.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{ServeContext, moves};
use crate::db::DbError;
use crate::db::files::NewRow;
use crate::domain::{Error, ErrorKind, FactType, File, NewFile, Result, Timestamp};

/// Requests waiting for their commit; past it callers are told to come back.
pub(super) const QUEUE: usize = 4096;
/// Requests in one commit.
const BATCH: usize = 512;
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// A request on its way into the database.
pub struct Intake {
    new: NewFile,
    reply: oneshot::Sender<Result<File>>,
}

/// Answers once the file is stored and its message is on its way. After an `Unavailable` it may be stored all the
/// same.
pub async fn request(ctx: &ServeContext, new: NewFile) -> Result<File> {
    let busy = || {
        Error::new(ErrorKind::Unavailable, "overloaded", "too many requests are waiting; try again shortly")
    };
    let (reply, answer) = oneshot::channel();
    ctx.intake.send_timeout(Intake { new, reply }, QUEUE_WAIT).await.map_err(|_| busy())?;
    answer.await.map_err(|_| busy())?
}

/// Stores what piles up in the queue, one commit after the other, until `stop`; what is queued by then is still
/// stored. A lone request waits for nothing.
pub async fn run(ctx: ServeContext, mut queue: mpsc::Receiver<Intake>, stop: CancellationToken) {
    let ServeContext { db, file_deadline, outbox, .. } = ctx;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !queue.is_closed() => queue.close(),
            count = queue.recv_many(&mut batch, BATCH) => if count == 0 { return },
        }
        let (requests, replies): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|intake| (intake.new, intake.reply)).unzip();
        let answers: Vec<Result<File>> = match store(&db, file_deadline, requests).await {
            Ok(files) => files.into_iter().map(Ok).collect(),
            Err(error) => {
                log::error!(requests = replies.len(), error:% = error; "requests not stored");
                let text = error.to_string();
                let mut first = Some(error);
                // One error for all of them; the copies carry its text.
                replies
                    .iter()
                    .map(|_| Err(first.take().unwrap_or_else(|| DbError::Unavailable(text.clone())).into()))
                    .collect()
            }
        };
        outbox.notify_one();
        for (reply, answer) in replies.into_iter().zip(answers) {
            // The caller may have gone; the file is made all the same.
            let _ = reply.send(answer);
        }
    }
}

async fn store(db: &crate::db::Db, deadline: Duration, requests: Vec<NewFile>) -> Result<Vec<File>, DbError> {
    let ids = db.next_file_ids(requests.len()).await?;
    let now = Timestamp::now();
    let files: Vec<File> =
        ids.into_iter().zip(&requests).map(|(id, new)| File::accepted(id, new, now)).collect();
    let row = |file: &File| NewRow {
        deadline_at: now.plus(deadline),
        messages: vec![moves::request(file), moves::fact(file, FactType::Requested)],
        file: file.clone(),
    };
    db.insert_files(files.iter().map(row).collect()).await?;
    for file in &files {
        log::info!(file_id = file.id.0, attempt = file.attempt.0; "request received");
    }
    Ok(files)
}
