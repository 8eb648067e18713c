//! The longer ones of the bugs that are planted to see the chaos tests find them.

use std::time::Duration;

use bytes::Bytes;

use super::files::compare_result;
use super::files::generate::{self, RequestOrigin};
use super::{ServeContext, WorkerContext, publish};
use crate::broker::Record;
use crate::db::DbError;
use crate::db::files::NewRow;
use crate::domain::files::status::{Decision, State};
use crate::domain::messages::file_create::CreateFile;
use crate::domain::messages::file_created::{FileResult, Outcome};
use crate::domain::{File, Result, Status};
use crate::storage::{Stored, key};
use crate::{faults, generators};

/// What it should announce by the outbox gets lost when the process ends in between, or Kafka is away.
pub(crate) async fn store_then_publish(
    ctx: &ServeContext,
    mut rows: Vec<NewRow>,
    kept: Duration,
) -> std::result::Result<Vec<Option<File>>, DbError> {
    let messages: Vec<_> = rows.iter_mut().map(|row| std::mem::take(&mut row.messages)).collect();
    let (known, _) = ctx.db.insert_files(rows, kept, 0).await?;
    faults::point!(ServeCommitted);
    for (messages, _) in messages.into_iter().zip(&known).filter(|(_, known)| known.is_none()) {
        for message in messages {
            let headers = publish::headers(message.event_id);
            let record = Record {
                key: message.key.map(Bytes::from),
                value: Some(Bytes::from(message.value)),
                headers,
            };
            if let Err(error) = publish::publish(&*ctx.broker, message.topic, vec![record]).await {
                log::warn!(error:% = error.chain(); "not published");
            }
        }
    }
    Ok(known)
}

/// Says `completed` while there is no object.
pub(crate) async fn complete_unmade(
    ctx: &WorkerContext,
    request: &CreateFile,
    origin: &RequestOrigin,
) -> Result<()> {
    let stored = Stored::of(&generators::generate(request)?);
    let key = key::object_key(request.file_id, &request.title, request.timestamp, request.format);
    let end = FileResult {
        s3_location: Some(key::location(&ctx.storage.bucket_name(), &key)),
        size: Some(stored.size),
        sha256: Some(stored.sha256),
        ..generate::result(request.file_id, Some(request.attempt), Outcome::Completed, origin)
    };
    let end = FileResult { proof: compare_result::proof(&ctx.storage, &end), ..end };
    publish::results(&*ctx.broker, [&end]).await
}

/// Whatever a worker says holds.
pub(crate) fn unjudged(file: &File, result: &FileResult) -> Decision {
    let status = match result.status {
        Outcome::Processing => Status::Processing,
        Outcome::Completed => Status::Completed,
        Outcome::Failed => Status::Failed,
    };
    Decision::Apply(State { status, attempt: result.attempt.unwrap_or(file.attempt) })
}
