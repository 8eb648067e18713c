//! `GET /files`: a page of the list, newest first.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use url::form_urlencoded;

use super::body::FileListBody;
use crate::actions::files;
use crate::domain::{Cursor, Page, PageRequest, Result};
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::FilePageQuery;
use crate::http::json_response::Json;

pub(in crate::http) async fn list(
    request: HttpRequest,
    state: Data<AppState>,
    FilePageQuery(query): FilePageQuery,
) -> HttpResult {
    // Most lists are in the cache: looking there first spares a hop to the process's runtime.
    let page = if let Some(page) = files::list_cached(&state.ctx, &query) {
        page
    } else {
        let slice = query.clone();
        state.run(|ctx| async move { files::list(&ctx, &slice).await }).await?
    };
    let json = list_json(&state, &query, &page)?;
    let mut response = HttpResponse::Ok();
    if let Some(next) = page.next {
        response.insert_header((
            header::LINK,
            format!("<{}>; rel=\"next\"", state.outer.address(&next_path(&query, next))),
        ));
    }
    json.respond(&request, response)
}

/// Returns the JSON of a page, from the cache if it has been serialised before.
pub(super) fn list_json(state: &AppState, query: &PageRequest, page: &Arc<Page>) -> Result<Json> {
    state.file_lists.get(query, page, |page| Json::new(&FileListBody(&page.files)))
}

fn next_path(query: &PageRequest, next: Cursor) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("limit", &query.limit.to_string());
    if let Some(status) = query.status {
        pairs.append_pair("status", status.name());
    }
    if let Some(text) = &query.query {
        pairs.append_pair("q", text);
    }
    pairs.extend_pairs(query.filters.parameters());
    pairs.append_pair("cursor", &next.encode());
    format!("/files?{}", pairs.finish())
}
