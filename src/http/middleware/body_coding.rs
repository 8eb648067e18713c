//! Codings of request bodies: `Content-Encoding` names one that the server can decode.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderValue};

use crate::domain::{Error, ErrorCode};

/// Value of `Accept-Encoding` in an answer that refuses a coding.
pub(super) const ACCEPTED_CODINGS: &str = "gzip, deflate";

/// Refuses codings that can't be decoded (RFC 9110 §8.4.1, §15.5.16), and rewrites the header so that it names the others
/// as actix-web does.
pub(super) fn check(request: &mut ServiceRequest) -> Result<(), Error> {
    let mut found = None;
    for value in request.headers().get_all(header::CONTENT_ENCODING) {
        let names = value.to_str().unwrap_or("?").split(',').map(|name| name.trim().to_ascii_lowercase());
        for name in names.filter(|name| !name.is_empty() && name != "identity") {
            let known = match name.as_str() {
                "gzip" | "x-gzip" => "gzip",
                "deflate" => "deflate",
                _ => "",
            };
            // A body that is compressed twice is refused as well: decoding it could take a thousand times a thousand times
            // its bytes.
            if known.is_empty() || found.replace(known).is_some() {
                let detail = format!("the body's Content-Encoding must be one of: {ACCEPTED_CODINGS}");
                return Err(Error::new(ErrorCode::UnsupportedContentEncoding, detail));
            }
        }
    }
    if !request.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    match found {
        Some(name) => {
            request.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        None => {
            request.headers_mut().remove(header::CONTENT_ENCODING);
        }
    }
    Ok(())
}
