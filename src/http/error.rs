//! Errors on the way out: `ErrorKind` → status, as a problem document (RFC 9457) or as a page.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;

use super::links::Links;
use super::{negotiation, ui};
use crate::domain::{Error, ErrorKind, FieldError};

/// What handlers fail with; `middleware::problems` gives it its body.
#[derive(Debug)]
pub struct HttpError(pub Error);

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        status(self.0.kind)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        HttpResponse::new(self.status_code())
    }
}

pub(super) const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Malformed => StatusCode::BAD_REQUEST,
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorKind::Gone => StatusCode::GONE,
        ErrorKind::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorKind::Timeout => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The members of RFC 9457, and ours.
#[derive(Debug, Serialize)]
pub(super) struct Problem<'a> {
    /// `about:blank`: the title is the status's own phrase, `code` is the finer type.
    r#type: &'static str,
    pub(super) title: &'static str,
    pub(super) status: u16,
    pub(super) detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl<'a> Problem<'a> {
    pub(super) fn new(error: &'a Error, request_id: &'a str) -> Self {
        let status = status(error.kind);
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &error.detail,
            code: error.code,
            request_id,
            errors: &error.fields,
        }
    }

    /// Media type and body, as the caller can read it.
    pub(super) fn body(&self, as_page: bool, links: Links<'_>) -> (&'static str, String) {
        if as_page {
            let page = ui::error_page(links, self.status, self.title, (self.detail, self.request_id));
            return ("text/html; charset=utf-8", page);
        }
        // Plain strings and numbers: this can't fail.
        ("application/problem+json", serde_json::to_string(self).unwrap_or_default())
    }
}

/// Whoever prefers HTML to JSON gets pages; without a preference, the addresses of pages do.
pub(super) fn wants_page(request: &HttpRequest) -> bool {
    let path = request.path();
    negotiation::prefers_page(request.headers(), path == "/" || path.starts_with("/ui/"))
}

/// An error for a status that the framework chose by itself.
pub(super) fn of_status(status: StatusCode, detail: String) -> Error {
    let (kind, code) = match status.as_u16() {
        404 => (ErrorKind::NotFound, "not_found"),
        405 => (ErrorKind::MethodNotAllowed, "method_not_allowed"),
        406 => (ErrorKind::NotAcceptable, "not_acceptable"),
        408 => (ErrorKind::Timeout, "request_timeout"),
        412 => (ErrorKind::PreconditionFailed, "precondition_failed"),
        413 => (ErrorKind::TooLarge, "body_too_large"),
        415 => (ErrorKind::UnsupportedMedia, "unsupported_media_type"),
        416 => (ErrorKind::RangeNotSatisfiable, "range_not_satisfiable"),
        400..=499 => (ErrorKind::Malformed, "malformed_request"),
        _ => (ErrorKind::Internal, "internal"),
    };
    let detail = if kind == ErrorKind::Internal { "the request failed".to_owned() } else { detail };
    Error::new(kind, code, detail)
}
