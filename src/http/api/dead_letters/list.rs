//! `GET /dead-letters`: a page of the list, newest first.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use url::form_urlencoded;

use super::body::DeadLetterListBody;
use crate::actions::dead_letters;
use crate::domain::{DeadLetterCursor, DeadLetterPageRequest};
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::DeadLetterPageQuery;
use crate::http::json_response::Json;

pub(in crate::http) async fn list(
    request: HttpRequest,
    state: Data<AppState>,
    DeadLetterPageQuery(query): DeadLetterPageQuery,
) -> HttpResult {
    let slice = query.clone();
    let page = state.run(|ctx| async move { dead_letters::list(&ctx.dead_letters(), &slice).await }).await?;
    let mut response = HttpResponse::Ok();
    if let Some(next) = page.next {
        response.insert_header((
            header::LINK,
            format!("<{}>; rel=\"next\"", state.outer.address(&next_path(&query, next))),
        ));
    }
    Json::new(&DeadLetterListBody(&page.dead_letters))?.respond(&request, response)
}

fn next_path(query: &DeadLetterPageRequest, next: DeadLetterCursor) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("limit", &query.limit.to_string());
    pairs.append_pair("state", query.state_name());
    if let Some(file_id) = query.file_id {
        pairs.append_pair("file_id", &file_id.to_string());
    }
    pairs.append_pair("cursor", &next.encode());
    format!("/dead-letters?{}", pairs.finish())
}
