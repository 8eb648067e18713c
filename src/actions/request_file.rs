//! Ask for a file: row, first transition and message commit together; requests that arrive meanwhile share the next
//! commit.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ServeContext;
use crate::db::DbError;
use crate::db::files::NewRow;
use crate::domain::message::{CreateFile, topic};
use crate::domain::{Attempt, Error, ErrorKind, File, NewFile, Result, Status, Timestamp};

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
        ctx.overload.fails("requests come faster than they are stored");
        Error::new(ErrorKind::Unavailable, "overloaded", "too many requests are waiting; try again shortly")
    };
    let (reply, answer) = oneshot::channel();
    ctx.intake.send_timeout(Intake { new, reply }, QUEUE_WAIT).await.map_err(|_| busy())?;
    let stored = answer.await.map_err(|_| busy())?;
    ctx.overload.works();
    stored
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
                let text = error.to_string();
                let mut first = Some(error);
                // One error for all of them; the copies carry its text.
                let answers: Vec<Result<File>> = replies
                    .iter()
                    .map(|_| Err(first.take().unwrap_or_else(|| DbError::Unavailable(text.clone())).into()))
                    .collect();
                log::debug!(requests = replies.len(), error = text; "requests not stored");
                answers
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
    let mut files = Vec::with_capacity(requests.len());
    let mut rows = Vec::with_capacity(requests.len());
    for (id, new) in ids.into_iter().zip(requests) {
        let file = accepted(id, &new, now);
        let message = serde_json::to_vec(&create_message(&file)).map_err(|e| DbError::Bug(e.to_string()))?;
        let deadline_at = now.plus(deadline);
        rows.push(NewRow { id, new, created_at: now, deadline_at, event_id: Uuid::now_v7(), message });
        files.push(file);
    }
    db.insert_files(topic::CREATE, rows).await?;
    for file in &files {
        log::info!(file_id = file.id.0, attempt = file.attempt.0; "request received");
    }
    Ok(files)
}

fn accepted(id: crate::domain::FileId, new: &NewFile, now: Timestamp) -> File {
    File {
        id,
        title: new.title.clone(),
        description: new.description.clone(),
        status: Status::Pending,
        s3_location: None,
        created_at: now,
        updated_at: now,
        format: new.format,
        content_type: new.format.media_type().to_owned(),
        size: None,
        sha256: None,
        attempt: Attempt::FIRST,
        error: None,
    }
}

/// The request for the file's current attempt.
pub(super) fn create_message(file: &File) -> CreateFile {
    CreateFile {
        file_id: file.id,
        title: file.title.clone(),
        description: file.description.clone(),
        timestamp: file.created_at,
        attempt: file.attempt,
        format: file.format,
    }
}
