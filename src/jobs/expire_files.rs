//! Fail unfinished files whose deadline has passed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actions::{ServeContext, files};
use crate::telemetry::Outage;

/// Checks deadlines until `stop`.
pub async fn run(ctx: ServeContext, interval: Duration, stop: CancellationToken) {
    let outage = Outage::new("deadlines not checked", "deadlines are checked again");
    while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        match files::expire(&ctx.db, &ctx.events).await {
            Ok(_) => outage.works(),
            Err(error) => outage.fails(error.chain()),
        }
    }
}
