//! `POST /dead-letters/{id}/discard`: resolves a dead letter without replaying it.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::body::validators;
use crate::actions::{ServeContext, dead_letters};
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::DeadLetterIdParam;
use crate::http::preconditions::Preconditions;

pub(in crate::http) async fn discard(
    request: HttpRequest,
    state: Data<AppState>,
    DeadLetterIdParam(id): DeadLetterIdParam,
) -> HttpResult {
    let guard = Preconditions::read(&request).into_guard(validators);
    let discard = move |ctx: ServeContext| async move {
        dead_letters::discard_if(&ctx.dead_letters(), id, guard).await
    };
    state.run(discard).await?;
    Ok(HttpResponse::NoContent().finish())
}
