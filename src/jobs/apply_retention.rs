//! Remove what is older than its retention: resolved dead letters, histories, rows of deleted files.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::repeat;
use crate::actions::ServeContext;
use crate::config::RetentionConfig;
use crate::db::{Db, DbError};
use crate::domain::FileId;

/// Rows in one transaction.
const BATCH: i64 = 500;
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Applies retention until `stop`, at intervals of a tenth of the shortest time that something is kept, but `max_interval` at
/// most. Any number of processes may do so at once: each takes other rows.
pub async fn run(
    ctx: ServeContext,
    config: RetentionConfig,
    max_interval: Duration,
    stop: CancellationToken,
) {
    let shortest = config.all().into_iter().flatten().min();
    let interval =
        shortest.map_or(max_interval, |shortest| (shortest / 10).clamp(MIN_INTERVAL, max_interval));
    let work = || apply(&ctx.db, &config);
    repeat(interval, &stop, "old rows not removed", "old rows are removed again", work).await;
}

/// Removes everything that is due, batch by batch.
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
