//! Pages of files: the list with the create form, the page of one file, its buttons. All of it works by forms and links alone.

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::csrf;
use super::dead_letters::count_open;
use super::forms::{ActionForm, CreateForm, UploadForm};
use super::html::{self, see_other};
use super::templates::{FileFragment, FileNotice, FilePage, FilesFragment, FilesPage};
use crate::actions::{ServeContext, dead_letters, files};
use crate::domain::{
    Attempt, Error, ErrorKind, Fault, File, FileId, HistoryEntry, Page, PageRequest, Result, Stats, Status,
    Timestamp,
};
use crate::http::AppState;
use crate::http::error::{HttpResult, status};
use crate::http::extract::{FileIdParam, FormBody, query};
use crate::http::negotiation::wants_page;

/// Query of the list and of its fragment: that of the API's list, whether the page reloads itself, and what the notice says.
#[derive(Debug, Default, Deserialize)]
struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
    status: Option<String>,
    q: Option<String>,
    refresh: Option<String>,
    created: Option<String>,
    deleted: Option<String>,
    uploaded: Option<String>,
}

impl ListQuery {
    fn page_request(&self) -> Result<PageRequest> {
        let cursor = self.cursor.as_deref().filter(|text| !text.is_empty());
        PageRequest::new(self.limit.as_deref(), cursor, self.status.as_deref(), self.q.as_deref())
    }

    fn notice(&self) -> FileNotice {
        let id = |text: &Option<String>| text.as_deref().and_then(|id| id.parse().ok());
        let uploaded = self.uploaded.as_deref().and_then(|count| count.parse().ok());
        FileNotice { created: id(&self.created), deleted: id(&self.deleted), uploaded }
    }

    fn refresh(&self) -> bool {
        self.refresh.as_deref() == Some("on")
    }
}

/// Answers `GET /`.
pub(in crate::http) async fn list(app: web::Data<AppState>, request: HttpRequest) -> HttpResult {
    let query: ListQuery = query::read_for_page(&request)?;
    let page_request = query.page_request()?;
    let header = ListHeader { notice: query.notice(), ..ListHeader::default() };
    list_page(&app, &request, (&page_request, query.refresh()), header).await
}

/// Answers `GET /ui/files/fragment`, which the script of `/` polls.
pub(in crate::http) async fn list_fragment(app: web::Data<AppState>, request: HttpRequest) -> HttpResult {
    let query: ListQuery = query::read_for_page(&request)?;
    let page_request = query.page_request()?;
    let (page, stats) = read_list(&app, &page_request).await?;
    let fragment = files_fragment(&app, (&page_request, query.refresh()), &page, &stats);
    html::fragment(&request, fragment.etag(), &fragment)
}

/// Answers `POST /ui/files` with 303 to the list, or with the form as it was typed and what is wrong with it.
pub(in crate::http) async fn create(
    app: web::Data<AppState>,
    request: HttpRequest,
    form: FormBody<CreateForm>,
) -> HttpResult {
    let form = form.into_inner();
    match create_file(&app, &request, &form).await {
        Ok(id) => Ok(see_other(app.outer.urls().home_with_notice("created", id))),
        Err(error) if wants_page(&request) && error.kind.fault() != Fault::Product => {
            let refusal = error.fields.is_empty().then(|| error.detail.clone());
            let form = CreateForm { refusal, errors: error.fields.clone(), ..form };
            refused_form(&app, &request, ListHeader { form, ..ListHeader::default() }, error).await
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

/// Answers with the page and the form that was refused, or with the error alone when the list can't be read either.
pub(super) async fn refused_form(
    app: &AppState,
    request: &HttpRequest,
    header: ListHeader,
    error: Error,
) -> HttpResult {
    let header = ListHeader { status: status(error.kind), ..header };
    let page_request = PageRequest::new(None, None, None, None)?;
    let Ok(mut response) = list_page(app, request, (&page_request, false), header).await else {
        return Err(error.into());
    };
    if error.kind == ErrorKind::Unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// Answers `GET /ui/files`: a browser that reloads a refused POST may ask with GET.
pub(in crate::http) async fn redirect_to_list(app: web::Data<AppState>) -> HttpResponse {
    see_other(app.outer.urls().home())
}

/// Answers `GET /ui/files/{id}`.
pub(in crate::http) async fn get(
    app: web::Data<AppState>,
    request: HttpRequest,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    let refresh = query::read_for_page::<ListQuery>(&request)?.refresh();
    let details = read_file(&app, id).await?;
    let token = csrf::token(&app.outer, &request);
    let fragment = file_fragment(&app, &details, &token.value);
    let page = FilePage { urls: app.outer.urls(), fragment, refresh };
    html::page(StatusCode::OK, &page, token.cookie)
}

/// Answers `GET /ui/files/{id}/fragment`, which the script of that page polls.
pub(in crate::http) async fn get_fragment(
    app: web::Data<AppState>,
    request: HttpRequest,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    let details = read_file(&app, id).await?;
    // The page has set the cookie. Where the browser refuses cookies, the buttons work by its headers alone.
    let token = csrf::token_from_cookie(&app.outer, &request).unwrap_or_default();
    let fragment = file_fragment(&app, &details, &token);
    html::fragment(&request, fragment.etag(), &fragment)
}

/// Answers `POST /ui/files/{id}/cancel` with 303 to the file.
pub(in crate::http) async fn cancel(
    app: web::Data<AppState>,
    request: HttpRequest,
    FileIdParam(id): FileIdParam,
    form: FormBody<ActionForm>,
) -> HttpResult {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    app.run(move |ctx| async move { files::cancel(&ctx, id).await }).await?;
    Ok(see_other(app.outer.urls().file(id)))
}

/// Answers `POST /ui/files/{id}/retry` with 303 to the file.
pub(in crate::http) async fn retry(
    app: web::Data<AppState>,
    request: HttpRequest,
    FileIdParam(id): FileIdParam,
    form: FormBody<ActionForm>,
) -> HttpResult {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    let is_done = async || -> Result<bool> {
        let Ok(shown) = form.attempt.parse() else { return Ok(false) };
        let file = app.run(move |ctx| async move { files::get(&ctx, id).await }).await?;
        Ok(file.attempt > Attempt(shown))
    };
    // A second press of the button that was shown with this attempt changes nothing. Of two presses at the same time one gets
    // a conflict, and sees afterwards that the other has done it.
    if !is_done().await? {
        match app.run(move |ctx| async move { files::retry(&ctx, id).await }).await {
            Err(error) if error.kind == ErrorKind::Conflict && is_done().await? => {}
            retried => drop(retried?),
        }
    }
    Ok(see_other(app.outer.urls().file(id)))
}

/// Answers `POST /ui/files/{id}/delete` with 303 to the list.
pub(in crate::http) async fn delete(
    app: web::Data<AppState>,
    request: HttpRequest,
    FileIdParam(id): FileIdParam,
    form: FormBody<ActionForm>,
) -> HttpResult {
    csrf::check(&app.outer, &request, &form.csrf_token)?;
    app.run(move |ctx| async move { files::delete(&ctx, id).await }).await?;
    Ok(see_other(app.outer.urls().home_with_notice("deleted", id)))
}

/// Answers GET where the buttons post to: a browser that reloads a refused POST may ask with GET.
pub(in crate::http) async fn redirect_to_file(
    app: web::Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResponse {
    see_other(app.outer.urls().file(id))
}

async fn read_list(app: &AppState, page_request: &PageRequest) -> Result<(Arc<Page>, Arc<Stats>)> {
    let request = page_request.clone();
    let read = |ctx| async move { tokio::try_join!(files::list(&ctx, &request), files::stats(&ctx)) };
    app.run(read).await
}

/// Data that the page of one file shows.
struct FileDetails {
    file: File,
    timeline: Vec<HistoryEntry>,
    has_open_dead_letter: bool,
}

async fn read_file(app: &AppState, id: FileId) -> Result<FileDetails> {
    let read = move |ctx: ServeContext| async move {
        let (file, timeline) = tokio::try_join!(files::get(&ctx, id), files::history(&ctx, id))?;
        // Only a failed file links to its dead letter, so the look-up is spared for all others.
        let has_open_dead_letter =
            file.status == Status::Failed && dead_letters::has_open(&ctx.dead_letters(), id).await?;
        Ok(FileDetails { file, timeline, has_open_dead_letter })
    };
    app.run(read).await
}

fn file_fragment<'a>(app: &'a AppState, details: &'a FileDetails, csrf_token: &'a str) -> FileFragment<'a> {
    let FileDetails { file, timeline, has_open_dead_letter } = details;
    let (urls, now) = (app.outer.urls(), Timestamp::now());
    FileFragment { urls, file, timeline, has_open_dead_letter: *has_open_dead_letter, now, csrf_token }
}

fn files_fragment<'a>(
    app: &'a AppState,
    (request, refresh): (&'a PageRequest, bool),
    page: &'a Page,
    stats: &'a Stats,
) -> FilesFragment<'a> {
    FilesFragment { urls: app.outer.urls(), request, page, stats, now: Timestamp::now(), refresh }
}

/// Parts of the list's page above the list.
#[derive(Default)]
pub(super) struct ListHeader {
    pub form: CreateForm,
    pub upload: UploadForm,
    pub notice: FileNotice,
    pub status: StatusCode,
}

async fn list_page(
    app: &AppState,
    request: &HttpRequest,
    page_request: (&PageRequest, bool),
    header: ListHeader,
) -> HttpResult {
    let ListHeader { mut form, mut upload, notice, status } = header;
    let (page, stats) = read_list(app, page_request.0).await?;
    let open_dead_letters = count_open(app).await?;
    let token = csrf::token(&app.outer, request);
    upload.csrf_token.clone_from(&token.value);
    upload.max_bytes = i64::try_from(app.ctx.uploads.max_size).unwrap_or(i64::MAX);
    form.csrf_token = token.value;
    form.ensure_key();
    let fragment = files_fragment(app, page_request, &page, &stats);
    let page = FilesPage {
        urls: app.outer.urls(),
        fragment,
        form: &form,
        upload: &upload,
        notice,
        open_dead_letters,
    };
    html::page(status, &page, token.cookie)
}
