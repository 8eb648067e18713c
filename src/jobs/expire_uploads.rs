//! End uploads that no request will end: expired ones, and those whose process died after the last byte.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::repeat;
use crate::actions::{ServeContext, uploads};
use crate::domain::Result;

/// Checks uploads until `stop`.
pub async fn run(ctx: ServeContext, interval: Duration, stop: CancellationToken) {
    // On the heap: a receiver with its parts is large.
    let check = || Box::pin(process(&ctx));
    repeat(interval, &stop, "uploads not checked", "uploads are checked again", check).await;
}

async fn process(ctx: &ServeContext) -> Result<()> {
    // First, so that an upload whose bytes are all there doesn't expire.
    let finished = uploads::finish_stored(ctx).await;
    uploads::expire(ctx).await?;
    finished.map(drop)
}
