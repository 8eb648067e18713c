//! Around every request: its body's limits, its id, its log line, the body of its error, the headers of every answer.

mod answer;
mod body;
mod guard;

use std::time::Instant;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use self::answer::{Answer, Turn, framed};
use self::body::Body;
pub(super) use self::guard::guard;
use super::AppState;
use super::error::{HttpError, Problem, of_status, wants_page};
use super::negotiation;
use crate::domain::{Error, ErrorKind, Fault};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Scripts and styles from ourselves alone; nobody frames us.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// Request headers that decide over an answer; those that decide over an error.
const BY_CODING: &str = "Accept-Encoding";
const BY_MEDIA_TYPE: &str = "Accept, Accept-Encoding";

/// Gives the request an id (the caller's own if it is a sane one) and its body limits, the answer its standard headers
/// and framing, errors their body, and the log one line.
pub(super) async fn around<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Answer>, actix_web::Error> {
    let started = Instant::now();
    let turn = Turn::begin(&request);
    let id = request_id(&request);
    let must_close = body::asks_for_another_protocol(&request);
    let mut unread = None;
    let early = match Body::guard(&mut request) {
        Ok(None) => None,
        Ok(Some(body)) => {
            let refusal = body.refusal().or_else(|| body::check_coding(&mut request).err());
            unread = Some(body);
            refusal
        }
        Err(error) => Some(error),
    };
    let early = early.or_else(|| negotiation::choose_coding(&mut request).err());
    if must_close {
        // An answer of unknown length would end with the connection, which stays open for a while behind such a request.
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    let response = if let Some(error) = early {
        // `ServiceRequest::into_response` would drop the cause, which is what the body is made of.
        let (request, _) = request.into_parts();
        with_problem(ServiceResponse::new(request, refused(error)), &id).map_into_boxed_body()
    } else {
        let mut response = next.call(request).await?.map_into_boxed_body();
        if let Some(error) = unread.as_ref().and_then(Body::refusal) {
            response = response.into_response(refused(error));
        } else if let Some(body) = &unread
            && body.ends().await
        {
            unread = None;
        }
        with_problem(response, &id).map_into_boxed_body()
    };
    let (held, share) = turn.hold(response);
    let (mut response, share) = match share {
        Ok(share) => (held, share),
        Err(error) => {
            let response = held.into_response(refused(error));
            (with_problem(response, &id).map_into_boxed_body(), None)
        }
    };
    let headers = response.headers_mut();
    if headers.get(header::VARY).is_none_or(|value| value != BY_MEDIA_TYPE) {
        headers.insert(header::VARY, HeaderValue::from_static(BY_CODING));
    }
    let mut set = |name, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    // A sign to our own compression, which leaves it there; it must not go out (RFC 9110 §8.4.1).
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "identity") {
        headers.remove(header::CONTENT_ENCODING);
    }
    let request = response.request();
    if response.status().is_client_error()
        && let Some(state) = request.app_data::<Data<AppState>>()
    {
        state.tally.refused();
    }
    log::debug!(
        method:% = request.method(), route = request.match_pattern(), status = response.status().as_u16(),
        client:% = client(request), elapsed_us:? = started.elapsed().as_micros(), request_id = id;
        "request answered"
    );
    Ok(framed(response, unread, must_close, turn, share))
}

fn refused(error: Error) -> HttpResponse {
    let code = error.code;
    let mut response = HttpResponse::from_error(HttpError(error));
    if code == body::UNSUPPORTED_CODING {
        let codings = HeaderValue::from_static(body::ACCEPTED_CODINGS);
        response.headers_mut().insert(header::ACCEPT_ENCODING, codings);
    }
    response
}

/// Who asked, for the log; looked up only where the line is written.
fn client(request: &HttpRequest) -> String {
    let state = request.app_data::<Data<AppState>>();
    let address = state.and_then(|state| state.outer.client(request.head()));
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

fn request_id(request: &ServiceRequest) -> String {
    let sane = |text: &&str| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane);
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Errors that carry a cause, and those that the framework answered bare, get a body; a page that already has one
/// keeps it.
fn with_problem<B: MessageBody>(response: ServiceResponse<B>, id: &str) -> ServiceResponse<EitherBody<B>> {
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
        bare = of_status(status, cause.map_or(reason, ToString::to_string));
        &bare
    };
    log_once(error, response.request(), id);
    let problem = Problem::new(error, id);
    let links = response.request().app_data::<Data<AppState>>().map(|state| state.outer.links());
    let (content_type, body) = problem.body(wants_page(response.request()), links.unwrap_or_default());
    let unavailable = error.kind == ErrorKind::Unavailable;
    let (request, head) = response.into_parts();
    let mut head = head.set_body(BoxBody::new(body));
    let headers = head.headers_mut();
    headers.remove(header::CONTENT_ENCODING);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static(BY_MEDIA_TYPE));
    if unavailable {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    ServiceResponse::new(request, head).map_into_right_body()
}

/// Causes are for the log alone.
fn log_once(error: &Error, request: &HttpRequest, id: &str) {
    let route = request.match_pattern();
    match error.kind.fault() {
        Fault::Product => {
            log::error!(request_id = id, route, code = error.code, error:% = error.chain(); "request failed");
        }
        // Whoever met the outage has said so, once.
        Fault::Dependency => {
            log::debug!(request_id = id, route, code = error.code, error:% = error.chain(); "request refused");
        }
        Fault::Caller => log::debug!(request_id = id, route, code = error.code; "bad request"),
    }
}
