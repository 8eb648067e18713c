//! `DELETE /files/{id}`: deletes a file.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::body::validators;
use crate::actions::files;
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::FileIdParam;
use crate::http::preconditions::Preconditions;

pub(in crate::http) async fn delete(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    let guard = Preconditions::read(&request).into_guard(validators);
    state.run(move |ctx| async move { files::delete_if(&ctx, id, guard).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}
