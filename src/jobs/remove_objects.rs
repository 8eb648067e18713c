//! Remove objects that no live row names: of deleted files, and of results that came too late.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actions::ServeContext;
use crate::db::object_removals::{Removal, RemovalOutcome};
use crate::db::uploads::ANNOUNCED;
use crate::domain::{Result, Status};
use crate::faults;
use crate::storage::{Storage, UnfinishedUpload, object_keys};
use crate::telemetry::Outage;

/// Removals in one transaction, carried out concurrently.
const MAX_BATCH: i64 = 16;
/// Time after which the removal for an unfinished file is looked at again.
const UNFINISHED_RETRY: Duration = Duration::from_secs(30);
/// Time after which a failed removal is tried again.
const FAILURE_RETRY: Duration = Duration::from_secs(10);

/// Removes what is due until `stop`. Woken when this process has asked for a removal.
pub async fn run(ctx: ServeContext, interval: Duration, stop: CancellationToken) {
    let outage = Outage::new("removal of objects stalled", "removal of objects resumed");
    while !stop.is_cancelled() {
        match process_batch(&ctx).await {
            Ok(taken) => {
                outage.works();
                if taken > 0 {
                    continue;
                }
            }
            Err(error) => outage.fails(error.chain()),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = ctx.removals.notified() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Processes one batch of removals. Returns their number.
pub async fn process_batch(ctx: &ServeContext) -> Result<usize> {
    let storage = ctx.storage.clone();
    let taken = ctx.db.object_removals().process(MAX_BATCH, |removals| async move {
        futures_util::future::join_all(removals.iter().map(|removal| remove(&storage, removal))).await
    });
    Ok(taken.await?)
}

async fn remove(storage: &Storage, Removal { key, s3_upload_id, file }: &Removal) -> RemovalOutcome {
    match file.status {
        // The attempt in flight writes the same key: removing it now could remove its result.
        Status::Pending | Status::Uploading | Status::Processing => {
            return RemovalOutcome::Later(UNFINISHED_RETRY);
        }
        Status::Completed | Status::Failed | Status::Cancelled | Status::Deleted => {}
    }
    let location = object_keys::location(&storage.bucket_name(), key);
    let is_named = file.status == Status::Completed && file.s3_location.as_ref() == Some(&location);
    // The file is locked meanwhile, so that no transition can make the object its own while it goes.
    let removed = async {
        match s3_upload_id.as_deref() {
            None => {}
            Some(ANNOUNCED) => storage.abort_uploads(key).await?,
            Some(id) => {
                let (key, id) = (key.clone(), id.to_owned());
                storage.abort_upload(&UnfinishedUpload { key, id, started: file.created_at }).await?;
            }
        }
        if is_named { Ok(()) } else { storage.remove(key).await }
    };
    match removed.await {
        Ok(()) if is_named => RemovalOutcome::Done,
        Ok(()) => {
            faults::point!(ObjectRemoved);
            log::info!(file_id = file.id.0, key; "object removed");
            RemovalOutcome::Done
        }
        Err(error) => {
            log::warn!(file_id = file.id.0, key, error:% = error; "object not removed");
            RemovalOutcome::Later(FAILURE_RETRY)
        }
    }
}
