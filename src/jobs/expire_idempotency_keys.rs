//! Remove idempotency keys past the time for which they are honoured.

use std::time::Duration;

use futures_util::TryFutureExt;
use tokio_util::sync::CancellationToken;

use super::repeat;
use crate::actions::ServeContext;
use crate::domain::idempotency::IDEMPOTENCY_KEY_TTL;

/// Removes old keys until `stop`.
pub async fn run(ctx: ServeContext, interval: Duration, stop: CancellationToken) {
    let remove = || ctx.db.idempotency_keys().remove_older_than(IDEMPOTENCY_KEY_TTL).map_ok(drop);
    repeat(interval, &stop, "idempotency keys not removed", "idempotency keys are removed again", remove)
        .await;
}
