//! Probes: is the process alive, can it do its work?

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;

use crate::actions::health::{self, Readiness};
use crate::http::error::HttpError;
use crate::http::state::AppState;

/// 200 as long as the process answers at all.
pub(in crate::http) async fn alive() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(serde_json::json!({"status": "alive"}))
}

/// 200 when files can be asked for, 503 otherwise; the body tells each dependency's state.
pub(in crate::http) async fn ready(state: Data<AppState>) -> Result<HttpResponse, HttpError> {
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
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(health))
}
