//! Remove objects that no live row names: of deleted files, and of results that came too late.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actions::ServeContext;
use crate::db::removals::{Removal, Settled};
use crate::domain::{Result, Status};
use crate::faults;
use crate::storage::{Storage, key};
use crate::telemetry::Outage;

/// In one transaction, all at once.
const BATCH: i64 = 16;
/// Interval of looks for removals that another process asked for, and for those that had to wait.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// How long an unfinished file keeps its object from being judged.
const UNDECIDED: Duration = Duration::from_secs(30);
/// After the store refused or was away.
const TROUBLE: Duration = Duration::from_secs(10);

/// Removes what is due until `stop`. Woken when this process has asked for a removal.
pub async fn run(ctx: ServeContext, stop: CancellationToken) {
    let outage = Outage::new("objects wait to be removed", "objects are removed again");
    while !stop.is_cancelled() {
        match once(&ctx).await {
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
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Runs one round; returns how many removals it looked at.
pub async fn once(ctx: &ServeContext) -> Result<usize> {
    let storage = ctx.storage.clone();
    let taken = ctx.db.take_removals(BATCH, |removals| async move {
        futures_util::future::join_all(removals.iter().map(|removal| remove(&storage, removal))).await
    });
    Ok(taken.await?)
}

async fn remove(storage: &Storage, Removal { key, file }: &Removal) -> Settled {
    match file.status {
        // The attempt under way writes the same key.
        Status::Pending | Status::Processing => return Settled::Later(UNDECIDED),
        Status::Completed
            if file.s3_location.as_deref() == Some(&*key::location(&storage.bucket_name(), key)) =>
        {
            return Settled::Done;
        }
        Status::Completed | Status::Failed | Status::Cancelled | Status::Deleted => {}
    }
    match storage.remove(key).await {
        Ok(()) => {
            faults::point!(ObjectRemoved);
            log::info!(file_id = file.id.0, key; "object removed");
            Settled::Done
        }
        Err(error) => {
            log::warn!(file_id = file.id.0, key, error:% = error; "object not removed");
            Settled::Later(TROUBLE)
        }
    }
}
