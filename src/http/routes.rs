//! All routes in one table.

use actix_web::http::Method;
use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, ResponseError, Route, guard};

use super::api::{dead_letters, files, health, schemas, uploads};
use super::error::HttpError;
use super::ui;
use super::ui::assets;
use crate::domain::{Error, ErrorCode};

pub(super) fn configure(cfg: &mut ServiceConfig) {
    cfg.service(resource("/livez", vec![get().to(health::live)], "GET, HEAD"))
        .service(resource("/readyz", vec![get().to(health::ready)], "GET, HEAD"))
        .service(resource(
            "/files",
            vec![
                get().to(files::list),
                web::post().guard(guard::fn_guard(is_form)).to(uploads::upload_form),
                web::post().to(files::create),
            ],
            "GET, HEAD, POST",
        ))
        .service(resource("/files/stats", vec![get().to(files::stats)], "GET, HEAD"))
        .service(resource(
            "/files/{id}",
            vec![get().to(files::get), web::patch().to(files::update), web::delete().to(files::delete)],
            "GET, HEAD, PATCH, DELETE",
        ))
        .service(resource("/files/{id}/cancel", vec![web::post().to(files::cancel)], "POST"))
        .service(resource("/files/{id}/retry", vec![web::post().to(files::retry)], "POST"))
        .service(resource("/files/{id}/content", vec![get().to(files::download)], "GET, HEAD"))
        .service(resource("/files/{id}/timeline", vec![get().to(files::timeline)], "GET, HEAD"))
        .service(resource("/dead-letters", vec![get().to(dead_letters::list)], "GET, HEAD"))
        .service(resource("/dead-letters/{id}", vec![get().to(dead_letters::get)], "GET, HEAD"))
        .service(resource("/dead-letters/{id}/replay", vec![web::post().to(dead_letters::replay)], "POST"))
        .service(resource("/dead-letters/{id}/discard", vec![web::post().to(dead_letters::discard)], "POST"))
        .service(resource("/schemas", vec![get().to(schemas::list)], "GET, HEAD"))
        .service(resource("/schemas/{name}", vec![get().to(schemas::get)], "GET, HEAD"))
        .service(resource("/", vec![get().to(ui::files::list)], "GET, HEAD"))
        .service(resource(
            "/ui/files",
            vec![get().to(ui::files::redirect_to_list), web::post().to(ui::files::create)],
            "GET, HEAD, POST",
        ))
        .service(button(
            "/ui/uploads",
            get().to(ui::uploads::redirect_to_list),
            web::post().to(ui::uploads::create),
        ))
        .service(resource("/ui/files/fragment", vec![get().to(ui::files::list_fragment)], "GET, HEAD"))
        .service(resource("/ui/files/{id}", vec![get().to(ui::files::get)], "GET, HEAD"))
        .service(button(
            "/ui/files/{id}/cancel",
            get().to(ui::files::redirect_to_file),
            web::post().to(ui::files::cancel),
        ))
        .service(button(
            "/ui/files/{id}/retry",
            get().to(ui::files::redirect_to_file),
            web::post().to(ui::files::retry),
        ))
        .service(button(
            "/ui/files/{id}/delete",
            get().to(ui::files::redirect_to_file),
            web::post().to(ui::files::delete),
        ))
        .service(resource("/ui/files/{id}/fragment", vec![get().to(ui::files::get_fragment)], "GET, HEAD"))
        .service(resource("/ui/dead-letters", vec![get().to(ui::dead_letters::list)], "GET, HEAD"))
        .service(button(
            "/ui/dead-letters/{id}/replay",
            get().to(ui::dead_letters::redirect_to_list),
            web::post().to(ui::dead_letters::replay),
        ))
        .service(button(
            "/ui/dead-letters/{id}/discard",
            get().to(ui::dead_letters::redirect_to_list),
            web::post().to(ui::dead_letters::discard),
        ))
        .service(resource("/assets/{name}", vec![get().to(assets::serve)], "GET, HEAD"))
        .configure(configure_uploads)
        .default_service(web::to(not_found));
}

fn configure_uploads(cfg: &mut ServiceConfig) {
    cfg.service(resource(
        "/uploads",
        vec![web::post().to(uploads::create), web::route().method(Method::OPTIONS).to(uploads::options)],
        "OPTIONS, POST",
    ))
    .service(resource(
        "/uploads/{id}",
        vec![
            web::head().to(uploads::status),
            web::patch().to(uploads::append),
            web::delete().to(uploads::terminate),
            web::route().method(Method::OPTIONS).to(uploads::options),
            web::post().guard(guard::fn_guard(is_overridden_patch)).to(uploads::append),
            web::post().guard(guard::fn_guard(is_overridden_delete)).to(uploads::terminate),
        ],
        "DELETE, HEAD, OPTIONS, PATCH",
    ));
}

/// Makes the resource that a button of a page posts to. A browser that reloads a refused POST may ask with GET, which
/// `redirect` answers.
fn button(path: &'static str, redirect: Route, post: Route) -> Resource {
    resource(path, vec![redirect, post], "GET, HEAD, POST")
}

fn is_form(ctx: &guard::GuardContext<'_>) -> bool {
    let content_type = ctx.head().headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("multipart/form-data")
}

/// Tells whether a client of tus that can send POST only means PATCH.
fn is_overridden_patch(ctx: &guard::GuardContext<'_>) -> bool {
    overrides(ctx, "PATCH")
}

fn is_overridden_delete(ctx: &guard::GuardContext<'_>) -> bool {
    overrides(ctx, "DELETE")
}

fn overrides(ctx: &guard::GuardContext<'_>, method: &str) -> bool {
    let named = ctx.head().headers.get("x-http-method-override");
    named.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(method.as_bytes()))
}

/// Makes a route for GET and HEAD. The server leaves out the body of an answer to HEAD.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Makes a resource that answers all other methods with 405 and `Allow` (RFC 9110 §15.5.6).
fn resource(path: &'static str, routes: Vec<Route>, allow: &'static str) -> Resource {
    let other =
        web::to(move |request: HttpRequest| async move { method_not_allowed(request.method(), allow) });
    routes.into_iter().fold(web::resource(path), Resource::route).default_service(other)
}

fn method_not_allowed(method: &Method, allow: &'static str) -> HttpResponse {
    let detail = format!("{method} is not possible here; use {allow}");
    let error = HttpError(Error::new(ErrorCode::MethodNotAllowed, detail));
    let status = error.status_code();
    let mut response = HttpResponse::from_error(error);
    *response.status_mut() = status;
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
    response
}

async fn not_found() -> Result<HttpResponse, HttpError> {
    Err(HttpError(Error::new(ErrorCode::NotFound, "there is nothing at this address")))
}
