//! Answers that report an error: their bodies, their headers, and one log line for the cause.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::body_coding::ACCEPTED_CODINGS;
use super::response_headers::VARY_MEDIA_TYPE;
use crate::domain::{Error, ErrorCode, ErrorKind, Fault};
use crate::http::error::{HttpError, from_status};
use crate::http::negotiation::wants_page;
use crate::http::{AppState, problem};

/// Makes an answer that carries the error; [`with_problem`] gives it its body.
pub(super) fn error_response(error: Error) -> HttpResponse {
    let code = error.code;
    let mut response = HttpResponse::from_error(HttpError(error));
    if code == ErrorCode::UnsupportedContentEncoding {
        let codings = HeaderValue::from_static(ACCEPTED_CODINGS);
        response.headers_mut().insert(header::ACCEPT_ENCODING, codings);
    }
    response
}

/// Gives a body to answers that carry an error, and to those that the framework sent without one. A page that reports an
/// error and has a body already keeps it.
pub(super) fn with_problem<B: MessageBody>(
    response: ServiceResponse<B>,
    request_id: &str,
) -> ServiceResponse<EitherBody<B>> {
    let status = response.status();
    let is_bare = !response.headers().contains_key(header::CONTENT_TYPE);
    let has_cause = response.response().error().is_some();
    if !(status.is_client_error() || status.is_server_error()) || !(is_bare || has_cause) {
        return response.map_into_left_body();
    }
    let cause = response.response().error();
    let bare;
    let error = if let Some(HttpError(error)) = cause.and_then(|cause| cause.as_error()) {
        error
    } else {
        let reason = status.canonical_reason().unwrap_or("error").to_lowercase();
        bare = from_status(status, cause.map_or(reason, ToString::to_string));
        &bare
    };
    log_cause(error, response.request(), request_id);
    let rendered = if wants_page(response.request()) {
        let state = response.request().app_data::<Data<AppState>>();
        problem::page(error, request_id, state.map(|state| state.outer.urls()).unwrap_or_default())
    } else {
        problem::document(error, request_id)
    };
    let is_unavailable = error.kind == ErrorKind::Unavailable;
    let (request, head) = response.into_parts();
    let mut head = head.set_body(BoxBody::new(rendered.body));
    let headers = head.headers_mut();
    headers.remove(header::CONTENT_ENCODING);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(rendered.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static(VARY_MEDIA_TYPE));
    if is_unavailable {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    ServiceResponse::new(request, head).map_into_right_body()
}

/// Logs the cause of the error, which the client is never shown.
fn log_cause(error: &Error, request: &HttpRequest, request_id: &str) {
    let route = request.match_pattern();
    match error.kind.fault() {
        Fault::Product => {
            log::error!(request_id, route, code = error.code.name(), error:% = error.chain(); "request failed");
        }
        // The adapter logs an outage once, when it begins: at this level each request would repeat it.
        Fault::Dependency => {
            log::debug!(request_id, route, code = error.code.name(), error:% = error.chain(); "dependency unavailable");
        }
        Fault::Caller => log::debug!(request_id, route, code = error.code.name(); "bad request"),
    }
}
