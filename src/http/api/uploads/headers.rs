//! Headers of tus 1.0.0, in requests and answers.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use crate::domain::uploads::UploadChecksum;
use crate::domain::{Error, ErrorCode, File, FileId, Result, Timestamp};
use crate::http::AppState;

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const X_FILE_ID: HeaderName = HeaderName::from_static("x-file-id");

/// The version of the protocol that is spoken.
pub(super) const VERSION: &str = "1.0.0";
/// Media type of bodies that are appended.
const OFFSET_OCTETS: &str = "application/offset+octet-stream";

/// Begins an answer of tus.
pub(super) fn answer(status: StatusCode) -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(status);
    answer.insert_header((TUS_RESUMABLE, VERSION)).insert_header((header::CACHE_CONTROL, "no-store"));
    answer
}

/// Adds the state of an upload.
pub(super) fn insert_state(
    answer: &mut HttpResponseBuilder,
    offset: u64,
    expires_at: Option<Timestamp>,
    file: Option<&File>,
) {
    answer.insert_header((UPLOAD_OFFSET, offset));
    if let Some(expires_at) = expires_at {
        answer.insert_header((UPLOAD_EXPIRES, crate::http::validators::http_date(expires_at).to_string()));
    }
    if let Some(file) = file {
        answer.insert_header((X_FILE_ID, file.id.0));
    }
}

/// Returns the address of an upload.
pub(super) fn location(state: &AppState, id: FileId) -> String {
    state.outer.address(&format!("/uploads/{id}"))
}

/// Checks the version of the protocol, which every request but OPTIONS names.
pub(super) fn check_version(request: &HttpRequest) -> Result<()> {
    match single(request, &TUS_RESUMABLE)? {
        Some(VERSION) => Ok(()),
        _ => Err(Error::new(ErrorCode::UnsupportedTusVersion, "the header Tus-Resumable must be 1.0.0")),
    }
}

/// Tells whether the request has a body of bytes to append; another body is an error.
pub(super) fn has_bytes(request: &HttpRequest) -> Result<bool> {
    let Some(content_type) = request.headers().get(header::CONTENT_TYPE) else { return Ok(false) };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(OFFSET_OCTETS) {
        let detail = format!("the content type of bytes to append is {OFFSET_OCTETS}");
        return Err(Error::new(ErrorCode::UnsupportedMediaType, detail));
    }
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        let detail = "bytes to append are sent without Content-Encoding";
        return Err(Error::new(ErrorCode::UnsupportedContentEncoding, detail));
    }
    Ok(true)
}

/// Reads a header that is a number of bytes.
pub(super) fn number(request: &HttpRequest, name: &HeaderName) -> Result<Option<u64>> {
    let Some(text) = single(request, name)? else { return Ok(None) };
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What PostgreSQL can't hold is no size of a file either.
    match text.parse::<i64>() {
        Ok(number) if is_plain => Ok(Some(number.unsigned_abs())),
        _ => Err(malformed(name, "a number of bytes")),
    }
}

/// Reads `Upload-Length`, or `Upload-Defer-Length: 1` in its place.
pub(super) fn length(request: &HttpRequest) -> Result<Option<u64>> {
    let deferred = match single(request, &UPLOAD_DEFER_LENGTH)? {
        None => false,
        Some("1") => true,
        Some(_) => return Err(malformed(&UPLOAD_DEFER_LENGTH, "1")),
    };
    match (number(request, &UPLOAD_LENGTH)?, deferred) {
        (Some(length), false) => Ok(Some(length)),
        (None, true) => Ok(None),
        (None, false) | (Some(_), true) => {
            let detail = "either Upload-Length or Upload-Defer-Length: 1 is needed";
            Err(Error::new(ErrorCode::MalformedRequest, detail))
        }
    }
}

/// Reads `Upload-Checksum`.
pub(super) fn checksum(request: &HttpRequest) -> Result<Option<UploadChecksum>> {
    let text = single(request, &UPLOAD_CHECKSUM)?;
    Ok(text.map(str::parse).transpose()?)
}

/// Reads a header that may come once.
pub(super) fn single<'r>(request: &'r HttpRequest, name: &HeaderName) -> Result<Option<&'r str>> {
    let mut lines = request.headers().get_all(name);
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match HeaderValue::to_str(value) {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(malformed(name, "ASCII")),
        },
        (Some(_), Some(_)) => Err(malformed(name, "one line")),
    }
}

fn malformed(name: &HeaderName, expected: &str) -> Error {
    Error::new(ErrorCode::MalformedRequest, format!("the header {name} must be {expected}"))
}
