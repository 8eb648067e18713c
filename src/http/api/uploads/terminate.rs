//! `DELETE /uploads/{id}`: ends an unfinished upload; nothing of it is kept.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::headers;
use crate::actions::uploads;
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::FileIdParam;

pub(in crate::http) async fn terminate(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    headers::check_version(&request)?;
    state.run(move |ctx| async move { uploads::terminate(&ctx, id).await }).await?;
    Ok(headers::answer(StatusCode::NO_CONTENT).finish())
}
