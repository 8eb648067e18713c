//! Headers that every answer carries: its id, what it depends on, and rules for browsers.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::request_id::REQUEST_ID;

/// Scripts and styles come from this service alone, and no other page shows this one in a frame.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// `Vary` of an answer whose coding alone depends on the request.
const VARY_CODING: &str = "Accept-Encoding";
/// `Vary` of an error, which is rendered as a page or as JSON.
pub(super) const VARY_MEDIA_TYPE: &str = "Accept, Accept-Encoding";

pub(super) fn insert(headers: &mut HeaderMap, request_id: &str) {
    if headers.get(header::VARY).is_none_or(|value| value != VARY_MEDIA_TYPE) {
        headers.insert(header::VARY, HeaderValue::from_static(VARY_CODING));
    }
    let mut set = |name, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    // Content that is shown has a stricter one.
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    // `identity` only tells the compression middleware to leave a download alone; it must not be sent (RFC 9110 §8.4.1).
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "identity") {
        headers.remove(header::CONTENT_ENCODING);
    }
}
