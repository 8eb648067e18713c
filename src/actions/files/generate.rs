//! Make a file: announce the start, generate, store and verify, announce the end.

use std::time::{Duration, Instant};

use super::compare_result;
use crate::actions::{WorkerContext, provision, publish};
use crate::domain::messages::file_create::CreateFile;
use crate::domain::messages::file_created::{FileResult, Outcome};
use crate::domain::{Attempt, Error, ErrorKind, FileId, Result, Timestamp};
use crate::faults;
use crate::generators;
use crate::storage::{StorageError, Stored, object_keys};

/// Record that a request was read from, for the timeline and the log.
#[derive(Debug, Clone)]
pub struct RequestOrigin {
    pub worker: String,
    pub partition: i32,
    pub offset: i64,
}

/// Interval at which a long job logs that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Work that takes longer is announced when it has taken this long; a start that is over sooner goes out together with
/// its end, at half the cost for everybody, and no client could have seen it.
const START_PUBLISHED_AFTER: Duration = Duration::from_millis(100);

/// Time for which publishing a result is retried before its file is made again.
const PUBLISH_RETRY_LIMIT: Duration = Duration::from_mins(1);
/// Between two tries.
const PUBLISH_RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// A file whose object is stored and verified, and whose result is to be announced.
#[derive(Debug)]
pub struct Generated {
    /// `None` when it was announced already.
    start: Option<FileResult>,
    end: FileResult,
}

/// Makes the object. Repeating it gives the same object; `again` says that it is repeated, and then the start is not
/// announced another time.
pub async fn generate(
    ctx: &WorkerContext,
    request: &CreateFile,
    origin: &RequestOrigin,
    again: bool,
) -> Result<Generated> {
    // One permit for each file that is made, shared by all members of the process: together they use as much memory as one.
    let turn = ctx.making.acquire().await;
    let started = Instant::now();
    let (file_id, attempt) = (request.file_id.0, request.attempt.0);
    let (partition, offset) = (origin.partition, origin.offset);
    log::debug!(file_id, attempt, partition, offset, again; "processing started");
    let start = result(request.file_id, Some(request.attempt), Outcome::Processing, origin);
    let mut start = Some(start).filter(|_| !again);
    let mut making = std::pin::pin!(make(ctx, request, started));
    let made = match tokio::time::timeout(START_PUBLISHED_AFTER, &mut making).await {
        Ok(made @ Ok(_)) => made,
        Ok(made @ Err(_)) => {
            publish_start(ctx, start.take()).await;
            made
        }
        Err(_) => tokio::join!(publish_start(ctx, start.take()), making).1,
    };
    let (location, stored) = made?;
    // The next file can be made while this one is announced.
    drop(turn);
    let end = FileResult {
        title: Some(request.title.clone()),
        s3_location: Some(location),
        size: Some(stored.size),
        sha256: Some(stored.sha256),
        duration_ms: Some(elapsed_ms(started)),
        ..result(request.file_id, Some(request.attempt), Outcome::Completed, origin)
    };
    let end = FileResult { proof: compare_result::proof(&ctx.storage, &end), ..end };
    Ok(Generated { start, end })
}

/// `Ok` once the result is published: only then may the request's offset be committed. While Kafka, or the partition
/// that the result has to go to, is unavailable it is tried again for a minute, without making the file again.
pub async fn publish_result(
    ctx: &WorkerContext,
    request: &CreateFile,
    origin: &RequestOrigin,
    made: &Generated,
) -> Result<()> {
    let (file_id, attempt) = (request.file_id.0, request.attempt.0);
    let (partition, offset) = (origin.partition, origin.offset);
    let Generated { start, end } = made;
    let until = Instant::now() + PUBLISH_RETRY_LIMIT;
    let publish = || publish::results(&*ctx.broker, start.iter().chain([end]));
    while let Err(error) = publish().await {
        if error.kind != ErrorKind::Unavailable || Instant::now() >= until {
            return Err(error);
        }
        log::debug!(file_id, error:% = error.chain(); "result not published yet");
        tokio::time::sleep(PUBLISH_RETRY_INTERVAL).await;
    }
    // A crash here publishes the result again after the redelivery; the second one changes nothing.
    faults::point!(WorkerPublished);
    let duration_ms = end.duration_ms.unwrap_or_default();
    log::info!(file_id, attempt, partition, offset, duration_ms, status = "completed"; "result published");
    Ok(())
}

/// Only the end has to be known.
async fn publish_start(ctx: &WorkerContext, start: Option<FileResult>) {
    let Some(start) = start else { return };
    if let Err(error) = publish::results(&*ctx.broker, [&start]).await {
        log::debug!(file_id = start.file_id.0, error:% = error.chain(); "start not announced");
    }
}

/// Says that this file will not be made by this attempt.
pub async fn fail(
    ctx: &WorkerContext,
    file_id: FileId,
    attempt: Option<Attempt>,
    origin: &RequestOrigin,
    error: &Error,
) -> Result<()> {
    let failed =
        FileResult { error: Some(error.detail.clone()), ..result(file_id, attempt, Outcome::Failed, origin) };
    publish::results(&*ctx.broker, [&failed]).await?;
    faults::point!(WorkerFailed);
    log::error!(
        file_id = file_id.0, partition = origin.partition, offset = origin.offset, error:% = error.chain();
        "file failed"
    );
    Ok(())
}

async fn make(ctx: &WorkerContext, request: &CreateFile, started: Instant) -> Result<(String, Stored)> {
    delay(ctx.processing_delay, request, started).await;
    faults::panic_over!(&request.title);
    let bytes = generators::generate(request)?;
    faults::point!(WorkerGenerated);
    let key = object_keys::object_key(request.file_id, &request.title, request.timestamp, request.format);
    let put = || ctx.storage.put(&key, request.format.media_type(), &bytes);
    faults::point!(WorkerStoring);
    let stored = match put().await {
        Err(StorageError::NoBucket(_)) => {
            if provision::bucket(&ctx.storage).await? {
                log::warn!(bucket = ctx.storage.bucket_name(); "the bucket was gone; recreated");
            }
            put().await?
        }
        stored => stored?,
    };
    faults::point!(WorkerStored);
    log::debug!(file_id = request.file_id.0, key, size = stored.size; "object stored");
    Ok((object_keys::location(&ctx.storage.bucket_name(), &key), stored))
}

/// The source system's artificial processing time, with its heartbeat lines.
async fn delay(total: Duration, request: &CreateFile, started: Instant) {
    let mut left = total;
    while !left.is_zero() {
        let step = left.min(HEARTBEAT);
        tokio::time::sleep(step).await;
        left -= step;
        log::info!(file_id = request.file_id.0, elapsed_ms = elapsed_ms(started); "still processing");
    }
}

pub(in crate::actions) fn result(
    file_id: FileId,
    attempt: Option<Attempt>,
    status: Outcome,
    origin: &RequestOrigin,
) -> FileResult {
    FileResult {
        file_id,
        title: None,
        s3_location: None,
        status,
        error: None,
        timestamp: Some(Timestamp::now()),
        attempt,
        size: None,
        sha256: None,
        worker: Some(origin.worker.clone()),
        partition: Some(origin.partition),
        offset: Some(origin.offset),
        duration_ms: None,
        proof: None,
    }
}

fn elapsed_ms(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}
