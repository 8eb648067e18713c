//! Record the results of workers, as far as the transition table allows: a whole batch in one transaction.

use std::collections::BTreeMap;

use futures_util::{FutureExt, StreamExt, stream};

use super::compare_result::{self, Compared};
use super::transition::{self, ChangeContext, Details};
use crate::actions::{ServeContext, batch};
use crate::db::files::Transitions;
use crate::domain::files::status::{Decision, Transition, evaluate};
use crate::domain::messages::file_created::{FileResult, Outcome};
use crate::domain::text::has_visible;
use crate::domain::{Error, ErrorCode, File, FileId, Result};
use crate::faults;
use crate::storage::object_keys;

/// Results of others whose objects are asked for at once.
const MAX_CONCURRENT_COMPARISONS: usize = 16;
const ERROR_MAX_CHARS: usize = 2000;
const WORKER_MAX_CHARS: usize = 200;

/// Applies results, with one answer for each, in order. An error other than `Unavailable` means that this result can never
/// be applied; one that is late, repeated or backwards is `Ok` and changes nothing.
pub async fn record_results(ctx: &ServeContext, results: Vec<FileResult>) -> Vec<Result<()>> {
    let bucket = ctx.storage.bucket_name();
    let checked = results.into_iter().map(|result| async {
        let result = check(&bucket, result)?;
        compare_result::compare(&ctx.storage, &bucket, result).await
    });
    // Those of our own workers need no answer of the store.
    let checked: Vec<Result<Compared>> =
        stream::iter(checked).buffered(MAX_CONCURRENT_COMPARISONS).collect().await;
    let readable: Vec<&Compared> = checked.iter().flatten().collect();
    let together = record(ctx, &readable).await;
    let each = |one| record(ctx, one).boxed();
    let mut answers = batch::else_each(together, &readable, each).await.into_iter();
    let mut answer = || answers.next().unwrap_or_else(|| Err(Error::internal("a result without an answer")));
    let places: Vec<Result<()>> =
        checked.iter().map(|result| if result.is_ok() { answer() } else { Ok(()) }).collect();
    checked.into_iter().zip(places).map(|(result, answer)| result.and(answer)).collect()
}

/// Records results in one transaction.
async fn record(ctx: &ServeContext, results: &[&Compared]) -> Result<Vec<Result<()>>> {
    if results.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<FileId> = results.iter().map(|compared| compared.result.file_id).collect();
    // Several results of one batch may be of one file.
    ids.sort_unstable();
    ids.dedup();
    let bucket = ctx.storage.bucket_name();
    let changed = ctx.db.files().transition(ids, |files, now| {
        decide(files, results, &bucket, &ChangeContext { now, events: &ctx.events })
    });
    let (answers, removes) = changed.await?;
    faults::point!(ResultsRecorded);
    if removes {
        ctx.removals.notify_one();
    }
    Ok(answers)
}

/// Checks what needs no row. The location in a result is not trusted.
fn check(bucket: &str, mut result: FileResult) -> Result<FileResult> {
    let refuse = |detail: String| Err(Error::new(ErrorCode::InvalidResult, detail));
    if let Some(location) = &result.s3_location
        && object_keys::own_key(bucket, result.file_id, location).is_none()
    {
        return refuse(format!("s3Location is not an object of file {} in bucket {bucket}", result.file_id));
    }
    result.error = result.error.map(|text| clean(&text, ERROR_MAX_CHARS)).filter(|text| has_visible(text));
    result.worker = result.worker.map(|text| clean(&text, WORKER_MAX_CHARS)).filter(|text| has_visible(text));
    Ok(result)
}

/// Removes U+0000, which PostgreSQL does not store, and cuts the text.
fn clean(text: &str, max_chars: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(max_chars).collect()
}

type Recorded = (Transitions, (Vec<Result<()>>, bool));

/// Also tells whether objects are to be removed.
fn decide(files: Vec<File>, results: &[&Compared], bucket: &str, context: &ChangeContext<'_>) -> Recorded {
    let mut files: BTreeMap<FileId, File> = files.into_iter().map(|file| (file.id, file)).collect();
    let mut moves = Transitions::default();
    let answers = results
        .iter()
        .map(|Compared { result, refusal }| {
            let file = files.get_mut(&result.file_id).ok_or_else(|| {
                let detail = format!("there is no file with id {}", result.file_id);
                Error::new(ErrorCode::FileNotFound, detail)
            })?;
            let by = match result.status {
                Outcome::Processing => Transition::Start,
                Outcome::Completed => Transition::Complete,
                Outcome::Failed => Transition::Fail,
            };
            let decision = evaluate(file.state(), by, result.attempt);
            if let (Decision::Apply(_), Some(refusal)) = (decision, refusal) {
                return Err(refusal.copy());
            }
            match decision {
                Decision::Apply(next) => {
                    moves.changes.push(transition::apply(context, file, by, next, details(result))?);
                }
                Decision::Ignore(why) => {
                    log::info!(file_id = result.file_id.0, result:? = result.status, why:? = why; "result ignored");
                    // An object that the row may never name: kept if it does by then.
                    let stored = result.s3_location.as_deref().filter(|_| by == Transition::Complete);
                    let key = stored.and_then(|location| object_keys::own_key(bucket, file.id, location));
                    if let Some(key) = key.filter(|_| stored != file.s3_location.as_deref()) {
                        moves.removals.push((file.id, key.to_owned()));
                    }
                }
            }
            Ok(())
        })
        .collect();
    let removes = !moves.removals.is_empty();
    (moves, (answers, removes))
}

fn details(result: &FileResult) -> Details {
    let error = match result.status {
        Outcome::Failed => {
            Some(result.error.clone().unwrap_or_else(|| "the worker gave no reason".to_owned()))
        }
        Outcome::Processing | Outcome::Completed => None,
    };
    let done = result.status == Outcome::Completed;
    Details {
        s3_location: result.s3_location.clone().filter(|_| done),
        size: result.size.filter(|_| done),
        sha256: result.sha256.clone().filter(|_| done),
        error,
        worker: result.worker.clone(),
        partition: result.partition,
        offset: result.offset,
        duration_ms: result.duration_ms,
        deadline: None,
    }
}
