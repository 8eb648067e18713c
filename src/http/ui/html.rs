//! Answers of pages: HTML, 304 when the browser has it, redirects.

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, ETag, EntityTag};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use askama::Template;

use crate::domain::Error;
use crate::http::error::{HttpError, HttpResult};
use crate::http::preconditions;
use crate::http::validators::Validators;

/// `Cache-Control` of pages: no shared cache may store the form token in them, and going back in the browser asks again.
const CACHE_CONTROL: &str = "private, no-cache";

/// Answers with a page, and sets the cookie of its form token if the browser has none.
pub(super) fn page(
    status: StatusCode,
    template: &impl Template,
    cookie: Option<Cookie<'static>>,
) -> HttpResult {
    let mut response = render(&mut HttpResponse::build(status), template)?;
    if let Some(cookie) = cookie {
        response
            .add_cookie(&cookie)
            .map_err(|cause| Error::internal("the form's cookie could not be set").because(cause))?;
    }
    Ok(response)
}

/// Answers with a part of a page, or with 304 when the browser shows this version already.
pub(super) fn fragment(request: &HttpRequest, tag: EntityTag, template: &impl Template) -> HttpResult {
    if let Some(status) = preconditions::status_without_content(request, &Validators::tag_only(tag.clone()))?
    {
        return Ok(HttpResponse::build(status)
            .insert_header(ETag(tag))
            .insert_header((header::CACHE_CONTROL, CACHE_CONTROL))
            .finish());
    }
    render(HttpResponse::Ok().insert_header(ETag(tag)), template)
}

fn render(response: &mut HttpResponseBuilder, template: &impl Template) -> Result<HttpResponse, HttpError> {
    let body = template
        .render()
        .map_err(|cause| Error::internal("the page could not be rendered").because(cause))?;
    Ok(response
        .content_type(header::ContentType::html())
        .insert_header((header::CACHE_CONTROL, CACHE_CONTROL))
        .body(body))
}

/// Redirects with 303, after which the browser asks with GET.
pub(super) fn see_other(location: String) -> HttpResponse {
    // 303 and not 302: a reload of the page that follows doesn't send the form again.
    HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish()
}
