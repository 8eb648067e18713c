//! Keep small what would only grow.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ServeContext;
use crate::db::{Db, DbError};
use crate::domain::idempotency::KEPT;
use crate::telemetry::Outage;

const FOLD_EVERY: Duration = Duration::from_secs(5);
const FORGET_EVERY: Duration = Duration::from_mins(10);

/// Folds the counts and forgets keys that are too old to matter, now and then, until `stop`.
pub async fn run(ctx: ServeContext, stop: CancellationToken) {
    let outage = Outage::new("tables not tidied", "tables are tidied again");
    let mut fold = tokio::time::interval(FOLD_EVERY);
    let mut forget = tokio::time::interval(FORGET_EVERY);
    loop {
        let tidied = tokio::select! {
            () = stop.cancelled() => return,
            _ = fold.tick() => ctx.db.fold_counts().await,
            _ = forget.tick() => forget_keys(&ctx.db).await,
        };
        match tidied {
            Ok(()) => outage.works(),
            Err(error) => outage.fails(error),
        }
    }
}

async fn forget_keys(db: &Db) -> Result<(), DbError> {
    db.forget_idempotency_keys(KEPT).await.map(drop)
}
