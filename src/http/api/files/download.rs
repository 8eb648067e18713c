//! `GET /files/{id}/content`: the bytes of a completed file, or one range of them.

use actix_web::body::SizedStream;
use actix_web::http::header::{
    self, Charset, ContentDisposition, ContentEncoding, DispositionParam, DispositionType, ETag, EntityTag,
    ExtendedValue,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use crate::actions::files;
use crate::domain::files::DownloadName;
use crate::domain::{ByteRange, Error, ErrorCode, File, Result};
use crate::http::AppState;
use crate::http::error::{HttpError, HttpResult};
use crate::http::extract::FileIdParam;
use crate::http::validators::{Validators, http_date, insert_last_modified};
use crate::http::{negotiation, preconditions};

pub(in crate::http) async fn download(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    let file = state.run(|ctx| async move { files::find_content(&ctx, id).await }).await?;
    let tag = file.sha256.clone().map(EntityTag::new_strong);
    let validators = Validators { tag, modified: Some(http_date(file.updated_at)) };
    if !negotiation::accepts_identity(request.headers()) {
        let detail = "content is sent without a coding; Accept-Encoding must allow identity";
        return Err(Error::new(ErrorCode::NotAcceptable, detail).into());
    }
    let mut response = headers(&file, &validators);
    if let Some(status) = preconditions::status_without_content(&request, &validators)? {
        return Ok(response.status(status).finish());
    }
    let size = file.size.and_then(|size| u64::try_from(size).ok());
    let range = match requested_range(&request, size, &validators) {
        Ok(range) => range,
        Err(error) => return Ok(range_not_satisfiable(error, size.unwrap_or_default())),
    };
    let (length, bytes) =
        state.run(|ctx| async move { files::open_content(&ctx, &file, range).await }).await?;
    if let (Some(ByteRange { first, last }), Some(size)) = (range, size) {
        response.status(StatusCode::PARTIAL_CONTENT);
        response.insert_header((header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}")));
    }
    Ok(match length {
        Some(length) => response.body(SizedStream::new(length, bytes)),
        None => response.streaming(bytes),
    })
}

/// Reads `Range` and `If-Range`. Returns `None` when the whole content is to be sent: without a range, for HEAD (RFC 9110
/// §14.2), when the size is not known, and when `If-Range` names another version.
fn requested_range(
    request: &HttpRequest,
    size: Option<u64>,
    validators: &Validators,
) -> Result<Option<ByteRange>> {
    if request.method() != Method::GET {
        return Ok(None);
    }
    // These headers may come once: of several lines none can be said to be the one that is meant (RFC 9110 §5.3).
    let single = |name| {
        let mut lines = request.headers().get_all(name);
        lines.next().filter(|_| lines.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let (Some(wanted), Some(size)) = (single(header::RANGE), size) else {
        return Ok(None);
    };
    if request.headers().contains_key(header::IF_RANGE)
        && !single(header::IF_RANGE).is_some_and(|condition| is_current(condition.trim(), validators))
    {
        return Ok(None);
    }
    ByteRange::parse(wanted, size)
}

/// Evaluates `If-Range` by RFC 9110 §13.1.5: the tag or the date must be exactly that of the current version.
fn is_current(condition: &str, validators: &Validators) -> bool {
    let is_tag = validators.tag.as_ref().is_some_and(|tag| tag.to_string() == condition);
    is_tag || condition.parse().is_ok_and(|date| validators.modified == Some(date))
}

fn range_not_satisfiable(error: Error, size: u64) -> HttpResponse {
    let mut response = HttpResponse::from_error(HttpError(error));
    if let Ok(value) = header::HeaderValue::from_str(&format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// Begins the answer: an attachment named after the title, so that no browser renders it as a page of this service.
fn headers(file: &File, validators: &Validators) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    let (stem, extension) = file.name_parts();
    let DownloadName { full, ascii } = DownloadName::new(stem, file.id, extension);
    let disposition = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![
            DispositionParam::Filename(ascii),
            DispositionParam::FilenameExt(ExtendedValue {
                charset: Charset::Ext("UTF-8".to_owned()),
                language_tag: None,
                value: full.into_bytes(),
            }),
        ],
    };
    response
        .content_type(file.content_type.as_str())
        .insert_header(disposition)
        // Keeps the compression middleware away: lengths and ranges are those of the uncompressed bytes.
        .insert_header(ContentEncoding::Identity)
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"));
    insert_last_modified(&mut response, file.updated_at);
    if let Some(tag) = validators.tag.clone() {
        response.insert_header(ETag(tag));
    }
    response
}
