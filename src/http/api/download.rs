//! `/files/{id}/content`: the bytes, whole or one range of them.

use actix_web::body::SizedStream;
use actix_web::http::header::{
    self, Charset, ContentDisposition, ContentEncoding, DispositionParam, DispositionType, ETag, EntityTag,
    ExtendedValue,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::download_name::DownloadName;
use crate::actions::files;
use crate::domain::{ByteRange, Error, ErrorKind, File};
use crate::http::error::HttpError;
use crate::http::etag;
use crate::http::extract::Id;
use crate::http::negotiation;
use crate::http::preconditions::{Validators, http_date};
use crate::http::state::AppState;

pub(in crate::http) async fn content(
    request: HttpRequest,
    state: Data<AppState>,
    Id(id): Id,
) -> Result<HttpResponse, HttpError> {
    let file = state.run(|ctx| async move { files::find_content(&ctx, id).await }).await?;
    let tag = file.sha256.clone().map(EntityTag::new_strong);
    let now = Validators { tag, modified: Some(http_date(file.updated_at)) };
    if !negotiation::takes_identity(request.headers()) {
        let detail = "content is sent without a coding; Accept-Encoding must allow identity";
        return Err(Error::new(ErrorKind::NotAcceptable, "not_acceptable", detail).into());
    }
    let mut response = headers(&file, &now);
    if let Some(status) = etag::unless_needed(&request, &now)? {
        return Ok(response.status(status).finish());
    }
    let size = file.size.and_then(|size| u64::try_from(size).ok());
    let range = match wanted_range(&request, size, &now) {
        Ok(range) => range,
        Err(error) => return Ok(unsatisfiable(error, size.unwrap_or_default())),
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

/// Ranges are for GET (RFC 9110 §14.2) and need a known size; `If-Range` with another tag or date asks for the whole.
fn wanted_range(
    request: &HttpRequest,
    size: Option<u64>,
    now: &Validators,
) -> Result<Option<ByteRange>, HttpError> {
    if request.method() != Method::GET {
        return Ok(None);
    }
    // A field that may come once is read from one line only: of several, no one can say which is meant (RFC 9110 §5.3).
    let text = |name| {
        let mut lines = request.headers().get_all(name);
        lines.next().filter(|_| lines.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let (Some(wanted), Some(size)) = (text(header::RANGE), size) else {
        return Ok(None);
    };
    if request.headers().contains_key(header::IF_RANGE)
        && !text(header::IF_RANGE).is_some_and(|condition| is_current(condition.trim(), now))
    {
        return Ok(None);
    }
    Ok(ByteRange::parse(wanted, size)?)
}

/// RFC 9110 §13.1.5: the very tag, or the very date.
fn is_current(condition: &str, now: &Validators) -> bool {
    let is_tag = now.tag.as_ref().is_some_and(|tag| tag.to_string() == condition);
    is_tag || condition.parse().is_ok_and(|date| now.modified == Some(date))
}

fn unsatisfiable(error: HttpError, size: u64) -> HttpResponse {
    let mut response = HttpResponse::from_error(error);
    if let Ok(value) = header::HeaderValue::from_str(&format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// Always an attachment under the title's name; never compressed, so that lengths and ranges stay true.
fn headers(file: &File, now: &Validators) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    let DownloadName { full, ascii } = DownloadName::of(&file.title, file.id, file.format.name());
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
        .insert_header(ContentEncoding::Identity)
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"));
    etag::insert_date(&mut response, file.updated_at);
    if let Some(tag) = now.tag.clone() {
        response.insert_header(ETag(tag));
    }
    response
}
