//! `GET /dead-letters/{id}`: the record of one dead letter.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::body::DeadLetterBody;
use crate::actions::dead_letters;
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::DeadLetterIdParam;
use crate::http::json_response;

pub(in crate::http) async fn get(
    request: HttpRequest,
    state: Data<AppState>,
    DeadLetterIdParam(id): DeadLetterIdParam,
) -> HttpResult {
    let dead_letter =
        state.run(move |ctx| async move { dead_letters::get(&ctx.dead_letters(), id).await }).await?;
    json_response::changeable(&request, &DeadLetterBody::from(&dead_letter), None)
}
