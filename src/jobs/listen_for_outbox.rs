//! Listen for notifications of PostgreSQL that other processes have committed outbox rows.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actions::ServeContext;

/// Wakes the relay at each notification, until `stop`.
pub async fn run(ctx: ServeContext, reconnect_after: Duration, stop: CancellationToken) {
    ctx.db.outbox().listen(Arc::clone(&ctx.outbox), reconnect_after, stop).await;
}
