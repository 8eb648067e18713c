//! Ask each dependency whether it is there.

use std::time::Duration;

use serde::Serialize;

use super::ServeContext;
use crate::db::DbError;
use crate::domain::Error;
use crate::domain::topic_settings::{Finding, Severity};
use crate::telemetry::Outage;

/// Time that one dependency has to answer; past it, it counts as down.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

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
    /// Reason why PostgreSQL can't be used although it answers, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_problem: Option<String>,
    /// Settings of topics that keep files from being made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<TopicProblem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicProblem {
    pub topic: String,
    pub setting: &'static str,
    pub value: String,
    pub effect: &'static str,
}

/// State of a dependency. The reason is in the log only: an address in an answer would help attackers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dependency {
    Up,
    Down,
}

/// Asks each dependency, all at once.
pub async fn check(ctx: &ServeContext) -> Health {
    let mut database_problem = None;
    let ping_database = async {
        let answer = ctx.db.ping().await;
        database_problem = answer.as_ref().err().and_then(DbError::finding);
        answer.map_err(Error::from)
    };
    let (database, kafka, storage) = tokio::join!(
        probe(&ctx.silent.database, ping_database),
        probe(&ctx.silent.kafka, async { ctx.broker.topics().await.map(drop).map_err(Error::from) }),
        probe(&ctx.silent.storage, async { ctx.storage.ping().await.map_err(Error::from) }),
    );
    let topics = if kafka == Dependency::Up { topic_problems(ctx).await } else { Vec::new() };
    let status = match (database, kafka, storage) {
        (Dependency::Down, _, _) => Readiness::Unavailable,
        (Dependency::Up, Dependency::Up, Dependency::Up) if topics.is_empty() => Readiness::Ready,
        (Dependency::Up, _, _) => Readiness::Degraded,
    };
    Health { status, database, kafka, storage, database_problem, topics }
}

async fn topic_problems(ctx: &ServeContext) -> Vec<TopicProblem> {
    let read = tokio::time::timeout(PROBE_TIMEOUT, ctx.topic_findings.findings(&*ctx.broker)).await;
    let errors = read.unwrap_or_default().into_iter().filter(|finding| finding.severity == Severity::Error);
    let problem =
        |Finding { topic, setting, value, effect, .. }| TopicProblem { topic, setting, value, effect };
    errors.map(problem).collect()
}

async fn probe(outage: &Outage, call: impl Future<Output = Result<(), Error>>) -> Dependency {
    let Ok(answer) = tokio::time::timeout(PROBE_TIMEOUT, call).await else {
        outage.fails(format!("no answer within {} s", PROBE_TIMEOUT.as_secs()));
        return Dependency::Down;
    };
    outage.works();
    match answer {
        Ok(()) => Dependency::Up,
        Err(error) => {
            log::debug!(error:% = error.chain(); "dependency down");
            Dependency::Down
        }
    }
}
