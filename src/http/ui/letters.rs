//! The page of dead letters and its buttons.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::csrf;
use super::form::ActForm;
use super::pages::{count_open_letters, page_of, see_other, with_cookie};
use super::views::{LetterNotice, LettersPage};
use crate::actions::dead_letters;
use crate::domain::{Error, ErrorKind, LetterPageRequest, Result, Timestamp};
use crate::http::AppState;
use crate::http::error::HttpError;
use crate::http::extract::{Form, Letter, query};

#[derive(Debug, Default, Deserialize)]
struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
    state: Option<String>,
    file_id: Option<String>,
    replayed: Option<String>,
    discarded: Option<String>,
}

impl ListQuery {
    fn read(request: &HttpRequest) -> Result<Self> {
        query::read(request).map_err(|cause| {
            let detail = "the query of this address can't be read: each parameter may come once, in UTF-8";
            Error::new(ErrorKind::Malformed, "invalid_query", detail).because(cause)
        })
    }

    fn page_request(&self) -> Result<LetterPageRequest> {
        let cursor = self.cursor.as_deref().filter(|text| !text.is_empty());
        let (state, file_id) = (self.state.as_deref(), self.file_id.as_deref());
        LetterPageRequest::new(self.limit.as_deref(), cursor, state, file_id)
    }

    fn notice(&self) -> LetterNotice {
        let id = |text: &Option<String>| text.as_deref().and_then(|id| id.parse().ok());
        LetterNotice { replayed: id(&self.replayed), discarded: id(&self.discarded) }
    }
}

/// `GET /ui/dead-letters`
pub(in crate::http) async fn list(
    app: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, HttpError> {
    let query = ListQuery::read(&request)?;
    let asked = query.page_request()?;
    let slice = asked.clone();
    let page = app.run(|ctx| async move { dead_letters::list(&ctx.letters(), &slice).await }).await?;
    let open_letters = count_open_letters(&app).await?;
    let token = csrf::token(&app.outer, &request);
    let page = LettersPage {
        links: app.outer.links(),
        request: &asked,
        page: &page,
        open_letters,
        now: Timestamp::now(),
        csrf_token: &token.value,
        notice: query.notice(),
    };
    with_cookie(page_of(StatusCode::OK, &page)?, token.cookie)
}

/// `POST /ui/dead-letters/{id}/replay`, `…/discard`: 303 to the list.
pub(in crate::http) async fn replay(
    app: web::Data<AppState>,
    request: HttpRequest,
    Letter(id): Letter,
    form: Form<ActForm>,
) -> Result<HttpResponse, HttpError> {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    app.run(move |ctx| async move { dead_letters::replay(&ctx.letters(), id).await }).await?;
    Ok(see_other(app.outer.links().after_letter("replayed", id)))
}

pub(in crate::http) async fn discard(
    app: web::Data<AppState>,
    request: HttpRequest,
    Letter(id): Letter,
    form: Form<ActForm>,
) -> Result<HttpResponse, HttpError> {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    app.run(move |ctx| async move { dead_letters::discard(&ctx.letters(), id).await }).await?;
    Ok(see_other(app.outer.links().after_letter("discarded", id)))
}

/// `GET` of the same: where a reload of a refused one ends up.
pub(in crate::http) async fn to_list(app: web::Data<AppState>) -> HttpResponse {
    see_other(app.outer.links().open_letters())
}
