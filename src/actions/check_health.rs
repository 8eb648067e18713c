//! Ask each dependency whether it is there.

use std::time::Duration;

use serde::Serialize;

use super::ServeContext;
use crate::domain::Error;

/// For one dependency to answer; past it, it counts as down.
const LIMIT: Duration = Duration::from_secs(3);

/// Files can be asked for and listed while only Kafka or S3 is down: that is `Degraded`, and ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    Ready,
    Degraded,
    Unavailable,
    /// On the way out: nothing new is taken.
    Stopping,
}

#[derive(Debug, Serialize)]
pub struct Health {
    pub status: Readiness,
    pub database: Dependency,
    pub kafka: Dependency,
    pub storage: Dependency,
}

/// Why a dependency is down is in the log; an address in an answer would help the wrong people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dependency {
    Up,
    Down,
}

pub async fn check(ctx: &ServeContext) -> Health {
    let (database, kafka, storage) = tokio::join!(
        probe("postgresql", async { ctx.db.ping().await.map_err(Error::from) }),
        probe("kafka", async { ctx.broker.topics().await.map(drop).map_err(Error::from) }),
        probe("s3", async { ctx.storage.ping().await.map_err(Error::from) }),
    );
    let status = match (database, kafka, storage) {
        (Dependency::Down, _, _) => Readiness::Unavailable,
        (Dependency::Up, Dependency::Up, Dependency::Up) => Readiness::Ready,
        (Dependency::Up, _, _) => Readiness::Degraded,
    };
    Health { status, database, kafka, storage }
}

async fn probe(name: &str, call: impl Future<Output = Result<(), Error>>) -> Dependency {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(Ok(())) => Dependency::Up,
        Ok(Err(error)) => {
            log::warn!(dependency = name, error:% = error.chain(); "dependency down");
            Dependency::Down
        }
        Err(_) => {
            log::warn!(dependency = name; "dependency silent");
            Dependency::Down
        }
    }
}
