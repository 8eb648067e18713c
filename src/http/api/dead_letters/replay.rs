//! `POST /dead-letters/{id}/replay`: asks again for what the record asked for.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::body::{ReplayBody, validators};
use crate::actions::{ServeContext, dead_letters};
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::DeadLetterIdParam;
use crate::http::preconditions::Preconditions;

/// Answers 202: the record is in the outbox and published later.
pub(in crate::http) async fn replay(
    request: HttpRequest,
    state: Data<AppState>,
    DeadLetterIdParam(id): DeadLetterIdParam,
) -> HttpResult {
    let guard = Preconditions::read(&request).into_guard(validators);
    let replay =
        move |ctx: ServeContext| async move { dead_letters::replay_if(&ctx.dead_letters(), id, guard).await };
    let replayed = state.run(replay).await?;
    Ok(HttpResponse::Accepted().json(ReplayBody::new(id, replayed)))
}
