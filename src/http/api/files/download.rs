//! `GET /files/{id}/content?disposition=&delivery=`: the bytes of a completed file, or one range of them, or an address in the
//! store.

use actix_web::body::SizedStream;
use actix_web::http::header::{
    self, Charset, ContentDisposition, ContentEncoding, DispositionParam, DispositionType, ETag, EntityTag,
    ExtendedValue,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Deserialize;

use crate::actions::files;
use crate::domain::files::{DownloadName, inline};
use crate::domain::{ByteRange, Error, ErrorCode, File, Result};
use crate::http::AppState;
use crate::http::error::{HttpError, HttpResult};
use crate::http::extract::{FileIdParam, query};
use crate::http::validators::{Validators, http_date, insert_last_modified};
use crate::http::{negotiation, preconditions};

pub(in crate::http) async fn download(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    let wanted = Wanted::read(&request)?;
    let file = state.run(|ctx| async move { files::find_content(&ctx, id).await }).await?;
    let shown = Shown::of(&file, wanted.is_inline);
    // The signature is for GET: a HEAD request that followed it would be refused by the store.
    if wanted.is_redirect && request.method() == Method::GET {
        let url = files::content_url(&state.ctx, &file, &shown.disposition.to_string(), &shown.content_type)?;
        return Ok(redirect(url));
    }
    let tag = file.sha256.clone().map(EntityTag::new_strong);
    let validators = Validators { tag, modified: Some(http_date(file.updated_at)) };
    if !negotiation::accepts_identity(request.headers()) {
        let detail = "content is sent without a coding; Accept-Encoding must allow identity";
        return Err(Error::new(ErrorCode::NotAcceptable, detail).into());
    }
    let mut response = headers(&file, shown, &validators);
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

/// Choices that the query makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    /// Show it in the browser, if its media type allows that.
    is_inline: bool,
    /// Send the client to the store.
    is_redirect: bool,
}

#[derive(Deserialize)]
struct Parameters {
    disposition: Option<String>,
    delivery: Option<String>,
}

impl Wanted {
    fn read(request: &HttpRequest) -> Result<Self> {
        let Parameters { disposition, delivery } = query::read(request)?;
        Ok(Self {
            is_inline: is_second("disposition", disposition.as_deref(), ["attachment", "inline"])?,
            is_redirect: is_second("delivery", delivery.as_deref(), ["direct", "redirect"])?,
        })
    }
}

/// Tells whether the second of two values was given; without any it is the first.
fn is_second(name: &str, value: Option<&str>, values: [&str; 2]) -> Result<bool> {
    let [first, second] = values;
    match value {
        None => Ok(false),
        Some(value) if value == first => Ok(false),
        Some(value) if value == second => Ok(true),
        Some(_) => {
            Err(Error::new(ErrorCode::InvalidQuery, format!("{name} must be one of: {first}, {second}")))
        }
    }
}

/// Headers that tell a browser what to do with the content.
struct Shown {
    disposition: ContentDisposition,
    content_type: String,
}

impl Shown {
    /// Makes the content an attachment, so that no browser renders it as a page of this service, unless it is of a type that can
    /// be shown and `wants_inline`.
    fn of(file: &File, wants_inline: bool) -> Self {
        let (stem, extension) = file.name_parts();
        let DownloadName { full, ascii } = DownloadName::new(stem, file.id, extension);
        let is_inline = wants_inline && inline::may_show_inline(&file.content_type);
        let disposition = ContentDisposition {
            disposition: if is_inline { DispositionType::Inline } else { DispositionType::Attachment },
            parameters: vec![
                DispositionParam::Filename(ascii),
                DispositionParam::FilenameExt(ExtendedValue {
                    charset: Charset::Ext("UTF-8".to_owned()),
                    language_tag: None,
                    value: full.into_bytes(),
                }),
            ],
        };
        Self { disposition, content_type: inline::content_type(&file.content_type) }
    }

    /// Returns the policy for content that is shown: it runs nothing, sends nothing and has no part in this service's origin.
    fn policy(&self) -> Option<&'static str> {
        match self.disposition.disposition {
            DispositionType::Inline if self.content_type == "application/pdf" => Some(PDF_POLICY),
            DispositionType::Inline => Some(INLINE_POLICY),
            DispositionType::Attachment | DispositionType::FormData | DispositionType::Ext(_) => None,
        }
    }
}

/// Browsers show a picture, sound or video in a document of their own, whose one element loads the same address again.
const INLINE_POLICY: &str = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; \
                             style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Viewers of PDF in browsers don't work in a sandbox; they run in an origin of their own.
const PDF_POLICY: &str = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'self'";

/// Begins the answer.
fn headers(file: &File, shown: Shown, validators: &Validators) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    if let Some(policy) = shown.policy() {
        response.insert_header((header::CONTENT_SECURITY_POLICY, policy));
    }
    response
        .content_type(shown.content_type)
        .insert_header(shown.disposition)
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

/// Sends the client to the store. Preconditions and ranges are for the store to judge (RFC 9110 §13.2.1); the address is soon of
/// no use, so that no client keeps it.
fn redirect(url: String) -> HttpResponse {
    HttpResponse::TemporaryRedirect()
        .insert_header((header::LOCATION, url))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .finish()
}
