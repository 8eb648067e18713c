//! Middleware around every request: limits of its body, its id, its log line, the body of its error, the headers of its answer.

mod access_log;
mod body_coding;
mod origin;
mod problems;
mod request_body;
mod request_id;
mod response_body;
mod response_headers;

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;

pub(super) use self::origin::check_origin;
use self::problems::{error_response, with_problem};
use self::request_body::RequestBody;
use self::response_body::{Exchange, ResponseBody};
use super::negotiation;

/// Wraps a request in everything above. One function instead of one middleware for each concern: actix-web allocates a
/// future for every middleware, which this is spared on the way of each request.
pub(super) async fn wrap_request<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<ResponseBody>, actix_web::Error> {
    let started = Instant::now();
    let exchange = Exchange::begin(&request);
    let id = request_id::read_or_make(&request);
    let must_close = request_body::asks_for_another_protocol(&request);
    let mut unread = None;
    let early = match RequestBody::limit(&mut request) {
        Ok(None) => None,
        Ok(Some(body)) => {
            let refusal = body.refusal().or_else(|| body_coding::check(&mut request).err());
            unread = Some(body);
            refusal
        }
        Err(error) => Some(error),
    };
    let early = early.or_else(|| negotiation::choose_coding(&mut request).err());
    if must_close {
        // An answer of unknown length would end with the connection, which stays open for a while after such a request.
        // Without compression the length is known.
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    let response = if let Some(error) = early {
        // `ServiceRequest::into_response` would drop the cause, which the body is rendered from.
        let (request, _) = request.into_parts();
        with_problem(ServiceResponse::new(request, error_response(error)), &id).map_into_boxed_body()
    } else {
        let mut response = next.call(request).await?.map_into_boxed_body();
        if let Some(error) = unread.as_ref().and_then(RequestBody::refusal) {
            response = response.into_response(error_response(error));
        } else if let Some(body) = &unread
            && body.drain().await
        {
            unread = None;
        }
        with_problem(response, &id).map_into_boxed_body()
    };
    let (response, reservation) = exchange.reserve_memory(response);
    let (mut response, reservation) = match reservation {
        Ok(reservation) => (response, reservation),
        Err(error) => {
            let response = response.into_response(error_response(error));
            (with_problem(response, &id).map_into_boxed_body(), None)
        }
    };
    response_headers::insert(response.headers_mut(), &id);
    access_log::record(&response, started, &id);
    Ok(response_body::frame(response, unread, must_close, exchange, reservation))
}
