//! Create topics and bucket as soon as their services are there, and topics again when they were lost.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actions::{ServeContext, provision};
use crate::telemetry::Outage;

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps topics in place until `stop`, so that services may start in any order. A bucket that is lost later is created by the
/// request that misses it.
pub async fn run(ctx: ServeContext, partitions: i32, interval: Duration, stop: CancellationToken) {
    let outage = Outage::new("topics or bucket not created yet", "topics and bucket can be created");
    let compat = ctx.events.compat.as_ref().map(|compat| &*compat.topic);
    let topics = || provision::topics(&*ctx.broker, partitions, compat);
    let work = async {
        loop {
            let made = tokio::join!(topics(), provision::bucket(&ctx.storage));
            match made {
                (Ok(_), Ok(_)) => break,
                (Err(error), _) | (_, Err(error)) => outage.fails(error.chain()),
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        outage.works();
        log::info!("topics and bucket exist");
        loop {
            tokio::time::sleep(interval).await;
            match topics().await {
                Ok(created) if created.is_empty() => {}
                Ok(created) => log::warn!(topics = created.join(", "); "missing topics recreated"),
                // The relay and the consumers report an unavailable Kafka; once is enough.
                Err(error) => log::debug!(error:% = error.chain(); "topics not checked"),
            }
        }
    };
    stop.run_until_cancelled(work).await;
}
