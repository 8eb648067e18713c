//! `POST /files/{id}/retry`: asks once more for a file that failed or was cancelled.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::body::{FileBody, validators};
use crate::actions::files;
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::FileIdParam;
use crate::http::preconditions::Preconditions;

/// Answers 202: the file is pending again.
pub(in crate::http) async fn retry(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    let guard = Preconditions::read(&request).into_guard(validators);
    let file = state.run(move |ctx| async move { files::retry_if(&ctx, id, guard).await }).await?;
    Ok(HttpResponse::Accepted().json(FileBody::from(&file)))
}
