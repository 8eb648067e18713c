//! Page of dead letters and its buttons.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::csrf;
use super::forms::ActionForm;
use super::html::{self, see_other};
use super::templates::{DeadLetterNotice, DeadLettersPage};
use crate::actions::dead_letters;
use crate::domain::{DeadLetterPageRequest, Result, Timestamp};
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::{DeadLetterIdParam, FormBody, query};

/// Query of the page: that of the API's list, and what the notice above it says.
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
    fn page_request(&self) -> Result<DeadLetterPageRequest> {
        let cursor = self.cursor.as_deref().filter(|text| !text.is_empty());
        let (state, file_id) = (self.state.as_deref(), self.file_id.as_deref());
        DeadLetterPageRequest::new(self.limit.as_deref(), cursor, state, file_id)
    }

    fn notice(&self) -> DeadLetterNotice {
        let id = |text: &Option<String>| text.as_deref().and_then(|id| id.parse().ok());
        DeadLetterNotice { replayed: id(&self.replayed), discarded: id(&self.discarded) }
    }
}

/// Answers `GET /ui/dead-letters`.
pub(in crate::http) async fn list(app: web::Data<AppState>, request: HttpRequest) -> HttpResult {
    let query: ListQuery = query::read_for_page(&request)?;
    let page_request = query.page_request()?;
    let slice = page_request.clone();
    let page = app.run(|ctx| async move { dead_letters::list(&ctx.dead_letters(), &slice).await }).await?;
    let open_dead_letters = count_open(&app).await?;
    let token = csrf::token(&app.outer, &request);
    let template = DeadLettersPage {
        urls: app.outer.urls(),
        request: &page_request,
        page: &page,
        open_dead_letters,
        now: Timestamp::now(),
        csrf_token: &token.value,
        notice: query.notice(),
    };
    html::page(StatusCode::OK, &template, token.cookie)
}

/// Answers `POST /ui/dead-letters/{id}/replay` with 303 to the list.
pub(in crate::http) async fn replay(
    app: web::Data<AppState>,
    request: HttpRequest,
    DeadLetterIdParam(id): DeadLetterIdParam,
    form: FormBody<ActionForm>,
) -> HttpResult {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    app.run(move |ctx| async move { dead_letters::replay(&ctx.dead_letters(), id).await }).await?;
    Ok(see_other(app.outer.urls().dead_letters_with_notice("replayed", id)))
}

/// Answers `POST /ui/dead-letters/{id}/discard` with 303 to the list.
pub(in crate::http) async fn discard(
    app: web::Data<AppState>,
    request: HttpRequest,
    DeadLetterIdParam(id): DeadLetterIdParam,
    form: FormBody<ActionForm>,
) -> HttpResult {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    app.run(move |ctx| async move { dead_letters::discard(&ctx.dead_letters(), id).await }).await?;
    Ok(see_other(app.outer.urls().dead_letters_with_notice("discarded", id)))
}

/// Answers GET where the buttons post to: a browser that reloads a refused POST may ask with GET.
pub(in crate::http) async fn redirect_to_list(app: web::Data<AppState>) -> HttpResponse {
    see_other(app.outer.urls().open_dead_letters())
}

/// Counts the open dead letters, for the navigation of the pages.
pub(super) async fn count_open(app: &AppState) -> Result<i64> {
    app.run(|ctx| async move { dead_letters::count_open(&ctx.dead_letters()).await }).await
}
