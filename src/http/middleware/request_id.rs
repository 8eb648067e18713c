//! Ids of requests: the client's own if it is well-formed, otherwise a new one.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::HeaderName;
use uuid::Uuid;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MAX_LENGTH: usize = 128;

/// Returns the id that the request brings, or makes one.
pub(super) fn read_or_make(request: &ServiceRequest) -> String {
    // The id is logged and sent back, so it may contain nothing that means something in a log or a header.
    let is_well_formed = |text: &&str| {
        (1..=MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_well_formed);
    sent.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}
