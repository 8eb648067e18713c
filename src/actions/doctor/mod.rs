//! Reaches each service as a role would, and tells in one line each what is wrong and what to do about it.

mod database;
mod kafka;
mod network;
mod storage;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::{DatabaseConfig, KafkaConfig, S3Config};
use crate::domain::{Finding, Severity};

/// Past this a check is given up: its service answers too slowly to be used.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A start that takes longer is explained in the log.
const SLOW_START: Duration = Duration::from_secs(10);

/// The services that a role needs; `None` for those it doesn't.
#[derive(Debug, Clone, Default)]
pub struct Services {
    pub database: Option<DatabaseConfig>,
    pub kafka: Option<KafkaConfig>,
    pub s3: Option<S3Config>,
}

/// Access that a check has to the services that it looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only reads: a process that is killed during the check leaves nothing behind.
    ReadOnly,
    /// Also stores an object and begins an upload in parts, and removes both.
    ReadWrite,
}

/// Checks each service; the findings are in the order database, Kafka, S3.
pub async fn check(services: &Services, client_id: &str, access: Access) -> Vec<Finding> {
    let database = async {
        match &services.database {
            Some(config) => within("postgresql", Box::pin(database::check(config))).await,
            None => Vec::new(),
        }
    };
    let kafka = async {
        match &services.kafka {
            Some(config) => within("kafka", Box::pin(kafka::check(config, client_id))).await,
            None => Vec::new(),
        }
    };
    let s3 = async {
        match &services.s3 {
            Some(config) => within("s3", Box::pin(storage::check(config, access))).await,
            None => Vec::new(),
        }
    };
    let (database, kafka, s3) = tokio::join!(database, kafka, s3);
    [database, kafka, s3].concat()
}

async fn within(subject: &str, check: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    tokio::time::timeout(TIMEOUT, check).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s", TIMEOUT.as_secs());
        vec![Finding::error(
            subject,
            detail,
            "the service accepts connections and does not answer: see its own log",
        )]
    })
}

/// Logs once what keeps a role from working, if `is_ready` doesn't say 10 s after the start that it works.
pub async fn explain_slow_start(
    services: Services,
    client_id: String,
    is_ready: impl AsyncFnOnce() -> bool,
    stop: CancellationToken,
) {
    let explain = async {
        tokio::time::sleep(SLOW_START).await;
        if is_ready().await {
            return;
        }
        for finding in check(&services, &client_id, Access::ReadOnly).await {
            let Finding { subject, severity, detail, advice } = finding;
            if severity > Severity::Ok {
                log::warn!(check = subject, advice = advice.unwrap_or_default(); "not ready: {detail}");
            }
        }
    };
    stop.run_until_cancelled(explain).await;
}
