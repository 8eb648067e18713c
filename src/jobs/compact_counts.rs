//! Compact the counts of files by status: commits only append differences, so that they never wait for one another.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::repeat;
use crate::actions::ServeContext;

/// Adds up the differences until `stop`.
pub async fn run(ctx: ServeContext, interval: Duration, stop: CancellationToken) {
    let compact = || ctx.db.files().compact_counts();
    repeat(interval, &stop, "counts not compacted", "counts are compacted again", compact).await;
}
