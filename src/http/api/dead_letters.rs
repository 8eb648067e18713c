//! `/dead-letters`: list them, look at one, have it replayed, discard it.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use url::form_urlencoded;

use crate::actions::ServeContext;
use crate::actions::dead_letters::{self, Replayed};
use crate::domain::{LetterCursor, LetterId, LetterPageRequest};
use crate::http::error::HttpError;
use crate::http::etag;
use crate::http::extract::{Letter, LetterQuery};
use crate::http::preconditions::{self, Preconditions};
use crate::http::state::AppState;

type Answer = Result<HttpResponse, HttpError>;

pub(in crate::http) async fn list(
    request: HttpRequest,
    state: Data<AppState>,
    LetterQuery(query): LetterQuery,
) -> Answer {
    let slice = query.clone();
    let page = state.run(|ctx| async move { dead_letters::list(&ctx.letters(), &slice).await }).await?;
    let mut response = HttpResponse::Ok();
    if let Some(next) = page.next {
        response.insert_header((
            header::LINK,
            format!("<{}>; rel=\"next\"", state.outer.address(&next_link(&query, next))),
        ));
    }
    etag::json(&request, &page.letters, response)
}

fn next_link(query: &LetterPageRequest, next: LetterCursor) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("limit", &query.limit.to_string());
    pairs.append_pair("state", query.state_name());
    if let Some(file_id) = query.file_id {
        pairs.append_pair("file_id", &file_id.to_string());
    }
    pairs.append_pair("cursor", &next.encode());
    format!("/dead-letters?{}", pairs.finish())
}

pub(in crate::http) async fn show(request: HttpRequest, state: Data<AppState>, Letter(id): Letter) -> Answer {
    let letter = state.run(move |ctx| async move { dead_letters::get(&ctx.letters(), id).await }).await?;
    etag::changeable(&request, &letter, None)
}

/// What a replay came to, for programs and for people.
#[derive(Serialize)]
struct Settled {
    id: LetterId,
    #[serde(flatten)]
    replayed: Replayed,
    detail: String,
}

/// 202: the record is on its way.
pub(in crate::http) async fn replay(
    request: HttpRequest,
    state: Data<AppState>,
    Letter(id): Letter,
) -> Answer {
    let guard = Preconditions::of(&request).guard(preconditions::of_letter);
    let replay =
        move |ctx: ServeContext| async move { dead_letters::replay_if(&ctx.letters(), id, guard).await };
    let replayed = state.run(replay).await?;
    Ok(HttpResponse::Accepted().json(Settled { id, replayed, detail: replayed.to_string() }))
}

pub(in crate::http) async fn discard(
    request: HttpRequest,
    state: Data<AppState>,
    Letter(id): Letter,
) -> Answer {
    let guard = Preconditions::of(&request).guard(preconditions::of_letter);
    let discard =
        move |ctx: ServeContext| async move { dead_letters::discard_if(&ctx.letters(), id, guard).await };
    state.run(discard).await?;
    Ok(HttpResponse::NoContent().finish())
}
