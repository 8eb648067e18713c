//! `/livez` and `/readyz`: whether the process answers, and whether it can do its work.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use serde::Serialize;

use crate::actions::health::{self, Dependency, Health, Readiness, TopicProblem};
use crate::http::AppState;
use crate::http::error::HttpResult;

/// Answers 200 as long as the process answers at all.
pub(in crate::http) async fn live() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(LivenessBody { status: "alive" })
}

/// Answers 200 when files can be asked for, otherwise 503. The body tells the state of each dependency.
pub(in crate::http) async fn ready(state: Data<AppState>) -> HttpResult {
    let mut health = state.run(|ctx| async move { Ok(Box::pin(health::check(&ctx)).await) }).await?;
    if state.stopping.is_cancelled() {
        health.status = Readiness::Stopping;
    }
    let mut response = match health.status {
        Readiness::Ready | Readiness::Degraded => HttpResponse::Ok(),
        Readiness::Unavailable | Readiness::Stopping => HttpResponse::ServiceUnavailable(),
    };
    if matches!(health.status, Readiness::Unavailable | Readiness::Stopping) {
        response.insert_header((header::RETRY_AFTER, "1"));
    }
    let body = ReadinessBody::from(&health);
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

#[derive(Debug, Serialize)]
struct LivenessBody {
    status: &'static str,
}

/// State of the service and its dependencies. A new member of the domain's types is not public until it is added here.
#[derive(Debug, Serialize)]
struct ReadinessBody<'a> {
    status: &'static str,
    database: &'static str,
    kafka: &'static str,
    storage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    database_problem: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    topics: Vec<TopicProblemBody<'a>>,
}

#[derive(Debug, Serialize)]
struct TopicProblemBody<'a> {
    topic: &'a str,
    setting: &'a str,
    value: &'a str,
    effect: &'a str,
}

impl<'a> From<&'a Health> for ReadinessBody<'a> {
    fn from(health: &'a Health) -> Self {
        Self {
            status: readiness_name(health.status),
            database: dependency_name(health.database),
            kafka: dependency_name(health.kafka),
            storage: dependency_name(health.storage),
            database_problem: health.database_problem.as_deref(),
            topics: health.topics.iter().map(TopicProblemBody::from).collect(),
        }
    }
}

impl<'a> From<&'a TopicProblem> for TopicProblemBody<'a> {
    fn from(problem: &'a TopicProblem) -> Self {
        Self {
            topic: &problem.topic,
            setting: problem.setting,
            value: &problem.value,
            effect: problem.effect,
        }
    }
}

const fn readiness_name(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Ready => "ready",
        Readiness::Degraded => "degraded",
        Readiness::Unavailable => "unavailable",
        Readiness::Stopping => "stopping",
    }
}

const fn dependency_name(dependency: Dependency) -> &'static str {
    match dependency {
        Dependency::Up => "up",
        Dependency::Down => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(health: &Health) -> String {
        serde_json::to_string(&ReadinessBody::from(health)).unwrap()
    }

    #[test]
    fn readiness_has_these_members_in_this_order() {
        let plain = Health {
            status: Readiness::Ready,
            database: Dependency::Up,
            kafka: Dependency::Up,
            storage: Dependency::Down,
            database_problem: None,
            topics: Vec::new(),
        };
        assert_eq!(json(&plain), r#"{"status":"ready","database":"up","kafka":"up","storage":"down"}"#);
        let topic = TopicProblem {
            topic: "file.create".to_owned(),
            setting: "cleanup.policy",
            value: "compact".to_owned(),
            effect: "requests vanish",
        };
        let full = Health { database_problem: Some("read only".to_owned()), topics: vec![topic], ..plain };
        assert_eq!(
            json(&full),
            r#"{"status":"ready","database":"up","kafka":"up","storage":"down","database_problem":"read only","topics":[{"topic":"file.create","setting":"cleanup.policy","value":"compact","effect":"requests vanish"}]}"#
        );
        for (status, name) in [
            (Readiness::Ready, "ready"),
            (Readiness::Degraded, "degraded"),
            (Readiness::Unavailable, "unavailable"),
            (Readiness::Stopping, "stopping"),
        ] {
            assert_eq!(readiness_name(status), name);
        }
    }
}
