//! `/files`: ask for one, list, look at one, its timeline, counts.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use url::form_urlencoded;

use crate::actions::files;
use crate::domain::{Cursor, PageRequest};
use crate::http::error::HttpError;
use crate::http::etag;
use crate::http::extract::{Id, Key, NewFileBody, PageQuery};
use crate::http::preconditions::{self, Outcome, Preconditions};
use crate::http::state::AppState;

type Answer = Result<HttpResponse, HttpError>;

pub(in crate::http) async fn create(
    request: HttpRequest,
    state: Data<AppState>,
    Key(key): Key,
    NewFileBody(new): NewFileBody,
) -> Answer {
    let conditions = Preconditions::of(&request);
    if !conditions.is_empty() {
        check_list(&state, &conditions).await?;
    }
    let accepted = state.run(|ctx| async move { files::create(&ctx, new, key).await }).await?;
    let location = state.outer.address(&format!("/files/{}", accepted.file.id));
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location));
    if accepted.replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    Ok(response.json(accepted.file))
}

/// What a POST to the list is conditioned on: the list as `GET /files` gives it.
async fn check_list(state: &AppState, conditions: &Preconditions) -> Result<(), HttpError> {
    let query = PageRequest::new(None, None, None, None)?;
    let slice = query.clone();
    let page = state.run(|ctx| async move { files::list(&ctx, &slice).await }).await?;
    let now = state.lists.json(&query, &page)?.validators();
    match conditions.check(&now, false) {
        Outcome::Proceed => Ok(()),
        Outcome::NotModified | Outcome::Failed => Err(preconditions::failed().into()),
    }
}

pub(in crate::http) async fn list(
    request: HttpRequest,
    state: Data<AppState>,
    PageQuery(query): PageQuery,
) -> Answer {
    let page = if let Some(page) = files::list_cached(&state.ctx, &query) {
        page
    } else {
        let slice = query.clone();
        state.run(|ctx| async move { files::list(&ctx, &slice).await }).await?
    };
    let json = state.lists.json(&query, &page)?;
    let mut response = HttpResponse::Ok();
    if let Some(next) = page.next {
        response.insert_header((
            header::LINK,
            format!("<{}>; rel=\"next\"", state.outer.address(&next_link(&query, next))),
        ));
    }
    json.answer(&request, response)
}

fn next_link(query: &PageRequest, next: Cursor) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("limit", &query.limit.to_string());
    if let Some(status) = query.status {
        pairs.append_pair("status", status.name());
    }
    if let Some(text) = &query.query {
        pairs.append_pair("q", text);
    }
    pairs.append_pair("cursor", &next.encode());
    format!("/files?{}", pairs.finish())
}

pub(in crate::http) async fn show(request: HttpRequest, state: Data<AppState>, Id(id): Id) -> Answer {
    let file = state.run(|ctx| async move { files::get(&ctx, id).await }).await?;
    etag::changeable(&request, &file, Some(file.updated_at))
}

/// 202: what is under way ends by itself.
pub(in crate::http) async fn cancel(request: HttpRequest, state: Data<AppState>, Id(id): Id) -> Answer {
    let guard = Preconditions::of(&request).guard(preconditions::of_file);
    let file = state.run(move |ctx| async move { files::cancel_if(&ctx, id, guard).await }).await?;
    Ok(HttpResponse::Accepted().json(file))
}

pub(in crate::http) async fn retry(request: HttpRequest, state: Data<AppState>, Id(id): Id) -> Answer {
    let guard = Preconditions::of(&request).guard(preconditions::of_file);
    let file = state.run(move |ctx| async move { files::retry_if(&ctx, id, guard).await }).await?;
    Ok(HttpResponse::Accepted().json(file))
}

pub(in crate::http) async fn delete(request: HttpRequest, state: Data<AppState>, Id(id): Id) -> Answer {
    let guard = Preconditions::of(&request).guard(preconditions::of_file);
    state.run(move |ctx| async move { files::delete_if(&ctx, id, guard).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(in crate::http) async fn timeline(request: HttpRequest, state: Data<AppState>, Id(id): Id) -> Answer {
    let lines = state.run(|ctx| async move { files::history(&ctx, id).await }).await?;
    etag::json(&request, &lines, HttpResponse::Ok())
}

pub(in crate::http) async fn stats(request: HttpRequest, state: Data<AppState>) -> Answer {
    let stats = state.run(|ctx| async move { files::stats(&ctx).await }).await?;
    etag::json(&request, &*stats, HttpResponse::Ok())
}
