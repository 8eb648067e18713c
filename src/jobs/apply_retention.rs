//! Forget what is older than the settings want it kept: settled dead letters, histories, rows of deleted files.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actions::ServeContext;
use crate::config::RetentionConfig;
use crate::db::{Db, DbError};
use crate::domain::FileId;
use crate::telemetry::Outage;

/// Rows in one transaction.
const BATCH: i64 = 500;
/// Between two looks, at most: a tenth of the shortest time that something is kept.
pub(super) const MAX_INTERVAL: Duration = Duration::from_mins(10);
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Looks now and then until `stop`. Several processes may do so at once: each takes other rows.
pub async fn run(ctx: ServeContext, config: RetentionConfig, stop: CancellationToken) {
    let outage = Outage::new("old rows not forgotten", "old rows are forgotten again");
    let shortest = config.all().into_iter().flatten().min().unwrap_or(MAX_INTERVAL * 10);
    let mut look = tokio::time::interval((shortest / 10).clamp(MIN_INTERVAL, MAX_INTERVAL));
    loop {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => stop.run_until_cancelled(apply(&ctx.db, &config)).await,
        };
        match looked {
            None => return,
            Some(Ok(())) => outage.works(),
            Some(Err(error)) => outage.fails(error),
        }
    }
}

/// Everything that is due, batch by batch.
pub async fn apply(db: &Db, config: &RetentionConfig) -> Result<(), DbError> {
    while count("deleted files erased", db.files().erase_deleted(BATCH).await?) {}
    if let Some(kept) = config.dead_letters {
        while count("dead letters forgotten", db.dead_letters().remove_resolved(kept, BATCH).await?) {}
    }
    if let Some(kept) = config.deleted {
        while count("deleted files forgotten", db.files().remove_deleted(kept, BATCH).await?) {}
    }
    if let Some(kept) = config.history {
        let mut next = Some(FileId(0));
        while let Some(after) = next {
            let forgotten = db.files().remove_history(kept, after, BATCH).await?;
            count("lines of history forgotten", usize::try_from(forgotten.lines).unwrap_or_default());
            next = forgotten.next;
        }
    }
    Ok(())
}

/// Logs how many; true when there may be more.
fn count(what: &str, rows: usize) -> bool {
    if rows > 0 {
        log::info!(rows; "{what}");
    }
    i64::try_from(rows) == Ok(BATCH)
}
