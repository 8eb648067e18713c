//! `PATCH /files/{id}`: changes what people say of a file, by a JSON Merge Patch (RFC 7396).

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value};

use super::body::{FileBody, validators};
use crate::actions::files;
use crate::domain::files::FilePatch;
use crate::domain::{ErrorCode, JsonObject};
use crate::http::AppState;
use crate::http::error::{HttpError, HttpResult};
use crate::http::extract::{FileIdParam, json_body};
use crate::http::json_response;
use crate::http::preconditions::Preconditions;

const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
/// Media types of patches. Plain JSON is taken as what it looks like.
const MEDIA_TYPES: [&str; 2] = ["application/merge-patch+json", "application/json"];

pub(in crate::http) async fn update(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
    body: Payload,
) -> HttpResult {
    let body = json_body::parse_as::<JsonObject<Map<String, Value>>>(
        &request,
        &mut body.into_inner(),
        |essence| MEDIA_TYPES.contains(&essence),
        "the body must be a JSON Merge Patch in UTF-8, with Content-Type: application/merge-patch+json",
    );
    let JsonObject(members) = match body.await {
        Ok(body) => body,
        Err(error) if error.0.code == ErrorCode::UnsupportedMediaType => return Ok(not_a_patch(error)),
        Err(error) => return Err(error),
    };
    let patch = FilePatch::from_json(&members)?;
    let guard = Preconditions::read(&request).into_guard(validators);
    let file = state.run(move |ctx| async move { files::update_if(&ctx, id, patch, guard).await }).await?;
    json_response::changed(&request, &FileBody::from(&file), file.updated_at)
}

/// Tells which patches are taken (RFC 5789 §2.2).
fn not_a_patch(error: HttpError) -> HttpResponse {
    let mut response = HttpResponse::from_error(error);
    response.headers_mut().insert(ACCEPT_PATCH, HeaderValue::from_static(MEDIA_TYPES[0]));
    response
}
