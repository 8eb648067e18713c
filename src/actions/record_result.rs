//! Apply what workers say: judged by the transition table, a whole batch in one transaction.

use std::collections::BTreeMap;

use super::ServeContext;
use crate::db::moves::Change;
use crate::domain::message::{FileResult, Outcome};
use crate::domain::status::{Move, State, Verdict, judge};
use crate::domain::{Error, ErrorKind, File, FileId, Result, Timestamp, Transition};
use crate::storage::key;

const ERROR_MAX_CHARS: usize = 2000;
const WORKER_MAX_CHARS: usize = 200;

/// One answer for each result, in order. An error other than `Unavailable` means that this result can never be
/// applied; one that is late, repeated or backwards is `Ok` and changes nothing.
pub async fn apply(ctx: &ServeContext, results: Vec<FileResult>) -> Vec<Result<()>> {
    let bucket = ctx.storage.bucket_name();
    let checked: Vec<Result<FileResult>> = results.into_iter().map(|result| check(&bucket, result)).collect();
    let mut ids: Vec<FileId> = checked.iter().flatten().map(|result| result.file_id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return checked.into_iter().map(|result| result.map(drop)).collect();
    }
    let count = checked.len();
    let now = Timestamp::now();
    let applied = ctx.db.move_files(ids, now, move |files| decide(&files, checked, now)).await;
    applied.unwrap_or_else(|error| {
        let text = error.to_string();
        log::warn!(results = count, error = text; "results not recorded");
        let first = Error::from(error);
        let (kind, code, detail) = (first.kind, first.code, first.detail.clone());
        let mut first = Some(first);
        (0..count)
            .map(|_| Err(first.take().unwrap_or_else(|| Error::new(kind, code, &*detail).because(&*text))))
            .collect()
    })
}

/// What can be judged without the row. A result's location is not trusted.
fn check(bucket: &str, mut result: FileResult) -> Result<FileResult> {
    let refuse = |detail: String| Err(Error::new(ErrorKind::Invalid, "invalid_result", detail));
    if let Some(location) = &result.s3_location
        && key::own_key(bucket, result.file_id, location).is_none()
    {
        return refuse(format!("s3Location is not an object of file {} in bucket {bucket}", result.file_id));
    }
    let is_hex =
        |text: &String| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if result.sha256.as_ref().is_some_and(|text| !is_hex(text)) {
        return refuse("sha256 is not 64 lower-case hexadecimal digits".to_owned());
    }
    if result.size.is_some_and(|size| size < 0) {
        return refuse("size is negative".to_owned());
    }
    result.error = result.error.map(|text| clean(&text, ERROR_MAX_CHARS));
    result.worker = result.worker.map(|text| clean(&text, WORKER_MAX_CHARS));
    Ok(result)
}

/// PostgreSQL stores no U+0000, and nobody reads a megabyte.
fn clean(text: &str, max_chars: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(max_chars).collect()
}

fn decide(
    files: &[File],
    results: Vec<Result<FileResult>>,
    now: Timestamp,
) -> (Vec<Change>, Vec<Result<()>>) {
    let mut states: BTreeMap<FileId, State> =
        files.iter().map(|file| (file.id, State { status: file.status, attempt: file.attempt })).collect();
    let mut changes = Vec::new();
    let answers = results
        .into_iter()
        .map(|result| {
            let result = result?;
            let state = states.get_mut(&result.file_id).ok_or_else(|| {
                let detail = format!("there is no file with id {}", result.file_id);
                Error::new(ErrorKind::NotFound, "file_not_found", detail)
            })?;
            let by = match result.status {
                Outcome::Processing => Move::Start,
                Outcome::Completed => Move::Complete,
                Outcome::Failed => Move::Fail,
            };
            match judge(*state, by, result.attempt) {
                Verdict::Apply(next) => {
                    changes.push(change(result, *state, next, now));
                    *state = next;
                }
                Verdict::Ignore(why) => {
                    log::info!(file_id = result.file_id.0, result:? = result.status, why:? = why; "result ignored");
                }
            }
            Ok(())
        })
        .collect();
    (changes, answers)
}

fn change(result: FileResult, from: State, to: State, now: Timestamp) -> Change {
    log::info!(file_id = result.file_id.0, attempt = to.attempt.0, status = to.status.name(); "file updated");
    let error = match result.status {
        Outcome::Failed => Some(result.error.unwrap_or_else(|| "the worker gave no reason".to_owned())),
        Outcome::Processing | Outcome::Completed => None,
    };
    let done = result.status == Outcome::Completed;
    Change {
        id: result.file_id,
        state: to,
        s3_location: result.s3_location.filter(|_| done),
        size: result.size.filter(|_| done),
        sha256: result.sha256.filter(|_| done),
        error: error.clone(),
        transition: Transition {
            at: now,
            from: Some(from.status),
            to: to.status,
            attempt: to.attempt,
            worker: result.worker,
            partition: result.partition,
            offset: result.offset,
            duration_ms: result.duration_ms,
            error,
        },
        message: None,
    }
}
