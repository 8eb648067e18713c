//! `POST /files`: accepts a request for a file.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::body::{FileBody, NewFileBody};
use super::list::list_json;
use crate::actions::files;
use crate::domain::{PageRequest, Result};
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::IdempotencyKeyHeader;
use crate::http::preconditions::Preconditions;

pub(in crate::http) async fn create(
    request: HttpRequest,
    state: Data<AppState>,
    IdempotencyKeyHeader(key): IdempotencyKeyHeader,
    NewFileBody(new): NewFileBody,
) -> HttpResult {
    let preconditions = Preconditions::read(&request);
    if !preconditions.is_empty() {
        check_list(&state, &preconditions).await?;
    }
    let accepted = state.run(|ctx| async move { files::create(&ctx, new, key).await }).await?;
    let location = state.outer.address(&format!("/files/{}", accepted.file.id));
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location));
    if accepted.replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    Ok(response.json(FileBody::from(&accepted.file)))
}

/// Compares the preconditions with the list as `GET /files` answers it: that is what a POST to `/files` changes.
async fn check_list(state: &AppState, preconditions: &Preconditions) -> Result<()> {
    let query = PageRequest::new(None, None, None, None)?;
    let slice = query.clone();
    let page = state.run(|ctx| async move { files::list(&ctx, &slice).await }).await?;
    preconditions.allow_change(&list_json(state, &query, &page)?.validators())
}
