//! `POST /files/{id}/cancel`: cancels a file that is not finished.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::body::{FileBody, validators};
use crate::actions::files;
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::FileIdParam;
use crate::http::preconditions::Preconditions;

/// Answers 202: a worker that has started finishes its work, whose object is then removed.
pub(in crate::http) async fn cancel(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    let guard = Preconditions::read(&request).into_guard(validators);
    let file = state.run(move |ctx| async move { files::cancel_if(&ctx, id, guard).await }).await?;
    Ok(HttpResponse::Accepted().json(FileBody::from(&file)))
}
