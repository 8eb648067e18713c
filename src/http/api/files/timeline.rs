//! `GET /files/{id}/timeline`: the history of one file.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::body::TimelineBody;
use crate::actions::files;
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::FileIdParam;
use crate::http::json_response;

pub(in crate::http) async fn timeline(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    let transitions = state.run(|ctx| async move { files::history(&ctx, id).await }).await?;
    json_response::read_only(&request, &TimelineBody(&transitions))
}
