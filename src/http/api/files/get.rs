//! `GET /files/{id}`: the record of one file.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::body::FileBody;
use crate::actions::files;
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::FileIdParam;
use crate::http::json_response;

pub(in crate::http) async fn get(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    let file = state.run(|ctx| async move { files::get(&ctx, id).await }).await?;
    json_response::changeable(&request, &FileBody::from(&file), Some(file.updated_at))
}
