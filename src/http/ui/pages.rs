//! The pages' handlers: read the request, call a verb, render. Without JavaScript everything works by form and link.

use std::sync::Arc;

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, ETag, EntityTag};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use askama::Template;
use serde::Deserialize;

use super::csrf;
use super::form::{ActForm, CreateForm};
use super::views::{FileFragment, FilePage, FilesFragment, FilesPage, Notice};
use crate::actions::ServeContext;
use crate::actions::dead_letters;
use crate::actions::files;
use crate::domain::{
    Attempt, Error, ErrorKind, Fault, File, FileId, Page, PageRequest, Result, Stats, Status, Timestamp,
    Transition,
};
use crate::http::AppState;
use crate::http::error::{HttpError, status, wants_page};
use crate::http::etag;
use crate::http::extract::{Form, Id, query};
use crate::http::preconditions::Validators;

/// A page holds its browser's form token: nobody else may keep it, and going back asks again.
const CACHE: &str = "private, no-cache";

/// The query of `/` and of its fragment.
#[derive(Debug, Default, Deserialize)]
struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
    status: Option<String>,
    q: Option<String>,
    refresh: Option<String>,
    created: Option<String>,
    deleted: Option<String>,
}

impl ListQuery {
    fn read(request: &HttpRequest) -> Result<Self> {
        query::read(request).map_err(|cause| {
            let detail = "the query of this address can't be read: each parameter may come once, in UTF-8";
            Error::new(ErrorKind::Malformed, "invalid_query", detail).because(cause)
        })
    }

    fn page_request(&self) -> Result<PageRequest> {
        let cursor = self.cursor.as_deref().filter(|text| !text.is_empty());
        PageRequest::new(self.limit.as_deref(), cursor, self.status.as_deref(), self.q.as_deref())
    }

    fn notice(&self) -> Notice {
        let id = |text: &Option<String>| text.as_deref().and_then(|id| id.parse().ok());
        Notice { created: id(&self.created), deleted: id(&self.deleted) }
    }

    fn refresh(&self) -> bool {
        self.refresh.as_deref() == Some("on")
    }
}

/// `GET /`
pub(in crate::http) async fn list(
    app: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, HttpError> {
    let query = ListQuery::read(&request)?;
    let asked = query.page_request()?;
    let above = Above { form: CreateForm::default(), notice: query.notice(), status: StatusCode::OK };
    list_page(&app, &request, (&asked, query.refresh()), above).await
}

/// `GET /ui/files/fragment`: what the script of `/` polls.
pub(in crate::http) async fn list_fragment(
    app: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, HttpError> {
    let query = ListQuery::read(&request)?;
    let asked = query.page_request()?;
    let (page, stats) = read_list(&app, &asked).await?;
    let live = fragment(&app, (&asked, query.refresh()), &page, &stats);
    unless_known(&request, live.etag(), &live)
}

/// `POST /ui/files`: 303 to the list, or the form as it was typed, with what is wrong.
pub(in crate::http) async fn create(
    app: web::Data<AppState>,
    request: HttpRequest,
    form: Form<CreateForm>,
) -> Result<HttpResponse, HttpError> {
    let form = form.into_inner();
    match create_file(&app, &request, &form).await {
        Ok(id) => Ok(see_other(app.outer.links().after("created", id))),
        Err(error) if wants_page(&request) && error.kind.fault() != Fault::Product => {
            form_again(&app, &request, form, error).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn create_file(app: &AppState, request: &HttpRequest, form: &CreateForm) -> Result<FileId> {
    csrf::check(&app.outer, request, &form.csrf_token)?;
    let new = form.to_new_file()?;
    let key = form.idempotency_key(&new);
    let accepted = app.run(|ctx| async move { files::create(&ctx, new, key).await }).await?;
    Ok(accepted.file.id)
}

/// The page with the form that was refused; the error alone when the list can't be read either.
async fn form_again(
    app: &AppState,
    request: &HttpRequest,
    mut form: CreateForm,
    error: Error,
) -> Result<HttpResponse, HttpError> {
    form.refusal = error.fields.is_empty().then(|| error.detail.clone());
    form.errors.clone_from(&error.fields);
    let above = Above { form, notice: Notice::default(), status: status(error.kind) };
    let asked = PageRequest::new(None, None, None, None)?;
    let Ok(mut response) = list_page(app, request, (&asked, false), above).await else {
        return Err(error.into());
    };
    if error.kind == ErrorKind::Unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// `GET /ui/files`: where a reload of a refused form ends up.
pub(in crate::http) async fn to_list(app: web::Data<AppState>) -> HttpResponse {
    see_other(app.outer.links().home())
}

/// `GET /ui/files/{id}`
pub(in crate::http) async fn show(
    app: web::Data<AppState>,
    request: HttpRequest,
    Id(id): Id,
) -> Result<HttpResponse, HttpError> {
    let refresh = ListQuery::read(&request)?.refresh();
    let read = read_file(&app, id).await?;
    let token = csrf::token(&app.outer, &request);
    let live = file_fragment(&app, &read, &token.value);
    let page = page_of(StatusCode::OK, &FilePage { links: app.outer.links(), live, refresh })?;
    with_cookie(page, token.cookie)
}

/// `GET /ui/files/{id}/fragment`: what the script of that page polls.
pub(in crate::http) async fn show_fragment(
    app: web::Data<AppState>,
    request: HttpRequest,
    Id(id): Id,
) -> Result<HttpResponse, HttpError> {
    let read = read_file(&app, id).await?;
    let token = csrf::kept(&app.outer, &request).unwrap_or_default();
    let live = file_fragment(&app, &read, &token);
    unless_known(&request, live.etag(), &live)
}

/// `POST /ui/files/{id}/cancel`, `…/retry`, `…/delete`: 303 to the file, or to the list when it is gone.
pub(in crate::http) async fn cancel(
    app: web::Data<AppState>,
    request: HttpRequest,
    Id(id): Id,
    form: Form<ActForm>,
) -> Result<HttpResponse, HttpError> {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    app.run(move |ctx| async move { files::cancel(&ctx, id).await }).await?;
    Ok(see_other(app.outer.links().file(id)))
}

pub(in crate::http) async fn retry(
    app: web::Data<AppState>,
    request: HttpRequest,
    Id(id): Id,
    form: Form<ActForm>,
) -> Result<HttpResponse, HttpError> {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    let is_done = async || -> Result<bool> {
        let Ok(seen) = form.attempt.parse() else { return Ok(false) };
        let file = app.run(move |ctx| async move { files::get(&ctx, id).await }).await?;
        Ok(file.attempt > Attempt(seen))
    };
    // A second press of the button that was shown with this attempt changes nothing.
    if !is_done().await? {
        match app.run(move |ctx| async move { files::retry(&ctx, id).await }).await {
            Err(error) if error.kind == ErrorKind::Conflict && is_done().await? => {}
            retried => drop(retried?),
        }
    }
    Ok(see_other(app.outer.links().file(id)))
}

pub(in crate::http) async fn delete(
    app: web::Data<AppState>,
    request: HttpRequest,
    Id(id): Id,
    form: Form<ActForm>,
) -> Result<HttpResponse, HttpError> {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    app.run(move |ctx| async move { files::delete(&ctx, id).await }).await?;
    Ok(see_other(app.outer.links().after("deleted", id)))
}

/// `GET` of the same: where a reload of a refused one ends up.
pub(in crate::http) async fn to_file(app: web::Data<AppState>, Id(id): Id) -> HttpResponse {
    see_other(app.outer.links().file(id))
}

async fn read_list(app: &AppState, asked: &PageRequest) -> Result<(Arc<Page>, Arc<Stats>)> {
    let asked = asked.clone();
    let read = |ctx| async move { tokio::try_join!(files::list(&ctx, &asked), files::stats(&ctx)) };
    app.run(read).await
}

pub(super) async fn count_open_letters(app: &AppState) -> Result<i64> {
    app.run(|ctx| async move { dead_letters::count_open(&ctx.letters()).await }).await
}

/// Also tells whether an open dead letter speaks of it.
async fn read_file(app: &AppState, id: FileId) -> Result<(File, Vec<Transition>, bool)> {
    let read = move |ctx: ServeContext| async move {
        let (file, timeline) = tokio::try_join!(files::get(&ctx, id), files::history(&ctx, id))?;
        let is_put_aside =
            file.status == Status::Failed && dead_letters::has_open(&ctx.letters(), id).await?;
        Ok((file, timeline, is_put_aside))
    };
    app.run(read).await
}

fn file_fragment<'a>(
    app: &'a AppState,
    (file, timeline, is_put_aside): &'a (File, Vec<Transition>, bool),
    csrf_token: &'a str,
) -> FileFragment<'a> {
    let (links, now) = (app.outer.links(), Timestamp::now());
    FileFragment { links, file, timeline, is_put_aside: *is_put_aside, now, csrf_token }
}

fn fragment<'a>(
    app: &'a AppState,
    (request, refresh): (&'a PageRequest, bool),
    page: &'a Page,
    stats: &'a Stats,
) -> FilesFragment<'a> {
    FilesFragment { links: app.outer.links(), request, page, stats, now: Timestamp::now(), refresh }
}

/// What the list's page has besides the list.
struct Above {
    form: CreateForm,
    notice: Notice,
    status: StatusCode,
}

async fn list_page(
    app: &AppState,
    request: &HttpRequest,
    asked: (&PageRequest, bool),
    above: Above,
) -> Result<HttpResponse, HttpError> {
    let Above { mut form, notice, status } = above;
    let (page, stats) = read_list(app, asked.0).await?;
    let open_letters = count_open_letters(app).await?;
    let token = csrf::token(&app.outer, request);
    form.csrf_token = token.value;
    form.ensure_key();
    let live = fragment(app, asked, &page, &stats);
    let page = FilesPage { links: app.outer.links(), live, form: &form, notice, open_letters };
    with_cookie(page_of(status, &page)?, token.cookie)
}

pub(super) fn with_cookie(
    mut response: HttpResponse,
    cookie: Option<Cookie<'static>>,
) -> Result<HttpResponse, HttpError> {
    if let Some(cookie) = cookie {
        response
            .add_cookie(&cookie)
            .map_err(|cause| Error::internal("the form's cookie could not be set").because(cause))?;
    }
    Ok(response)
}

pub(super) fn page_of(status: StatusCode, template: &impl Template) -> Result<HttpResponse, HttpError> {
    html(&mut HttpResponse::build(status), template)
}

/// 304 when the browser shows this version already.
fn unless_known(
    request: &HttpRequest,
    tag: EntityTag,
    template: &impl Template,
) -> Result<HttpResponse, HttpError> {
    if let Some(status) = etag::unless_needed(request, &Validators::of_tag(tag.clone()))? {
        return Ok(HttpResponse::build(status)
            .insert_header(ETag(tag))
            .insert_header((header::CACHE_CONTROL, CACHE))
            .finish());
    }
    html(HttpResponse::Ok().insert_header(ETag(tag)), template)
}

fn html(response: &mut HttpResponseBuilder, template: &impl Template) -> Result<HttpResponse, HttpError> {
    let body = template
        .render()
        .map_err(|cause| Error::internal("the page could not be rendered").because(cause))?;
    Ok(response
        .content_type(header::ContentType::html())
        .insert_header((header::CACHE_CONTROL, CACHE))
        .body(body))
}

pub(super) fn see_other(location: String) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish()
}
