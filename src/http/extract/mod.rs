//! Reading requests: bodies, ids and queries, each failing with our own error.

mod body;
pub(super) mod query;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;

use super::error::HttpError;
use crate::domain::idempotency::InvalidIdempotencyKey;
use crate::domain::{
    Error, ErrorKind, FieldError, FileId, IdempotencyKey, LetterId, LetterPageRequest, NewFile, Object,
    PageRequest,
};

/// A title and 64 KiB of description, every byte of it escaped as `\u00XX`, and room.
pub(super) const BODY_LIMIT: usize = 512 * 1024;

pub(super) use body::Form;

/// The `{id}` of the path.
pub(super) struct Id(pub(super) FileId);

impl FromRequest for Id {
    type Error = HttpError;
    type Future = std::future::Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").unwrap_or_default().parse().map(Self);
        std::future::ready(id.map_err(|e: crate::domain::ids::InvalidFileId| {
            HttpError(Error::new(ErrorKind::Malformed, "invalid_file_id", e.to_string()))
        }))
    }
}

/// The `{id}` of a dead letter's path.
pub(super) struct Letter(pub(super) LetterId);

impl FromRequest for Letter {
    type Error = HttpError;
    type Future = std::future::Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").unwrap_or_default().parse().map(Self);
        std::future::ready(id.map_err(|e: crate::domain::ids::InvalidLetterId| {
            HttpError(Error::new(ErrorKind::Malformed, "invalid_letter_id", e.to_string()))
        }))
    }
}

/// The `Idempotency-Key` header, if there is one.
pub(super) struct Key(pub(super) Option<IdempotencyKey>);

impl FromRequest for Key {
    type Error = HttpError;
    type Future = std::future::Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all("idempotency-key");
        let key = match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(value), None) => value
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .map(|key| Self(Some(key)))
                .ok_or(InvalidIdempotencyKey),
            (Some(_), Some(_)) => Err(InvalidIdempotencyKey),
        };
        std::future::ready(key.map_err(|cause| {
            HttpError(Error::new(ErrorKind::Malformed, "invalid_idempotency_key", cause.to_string()))
        }))
    }
}

/// `?limit=&cursor=&status=&q=`.
pub(super) struct PageQuery(pub(super) PageRequest);

#[derive(Deserialize)]
struct RawPageQuery {
    limit: Option<String>,
    cursor: Option<String>,
    status: Option<String>,
    q: Option<String>,
}

impl FromRequest for PageQuery {
    type Error = HttpError;
    type Future = std::future::Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = || {
            let raw: RawPageQuery = query::read(request)?;
            PageRequest::new(
                raw.limit.as_deref(),
                raw.cursor.as_deref(),
                raw.status.as_deref(),
                raw.q.as_deref(),
            )
        };
        std::future::ready(read().map(Self).map_err(HttpError))
    }
}

/// `?limit=&cursor=&state=&file_id=`.
pub(super) struct LetterQuery(pub(super) LetterPageRequest);

#[derive(Deserialize)]
struct RawLetterQuery {
    limit: Option<String>,
    cursor: Option<String>,
    state: Option<String>,
    file_id: Option<String>,
}

impl FromRequest for LetterQuery {
    type Error = HttpError;
    type Future = std::future::Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = || {
            let raw: RawLetterQuery = query::read(request)?;
            let (limit, cursor) = (raw.limit.as_deref(), raw.cursor.as_deref());
            LetterPageRequest::new(limit, cursor, raw.state.as_deref(), raw.file_id.as_deref())
        };
        std::future::ready(read().map(Self).map_err(HttpError))
    }
}

/// The body of `POST /files`.
pub(super) struct NewFileBody(pub(super) NewFile);

#[derive(Deserialize)]
struct RawNewFile {
    title: Option<serde_json::Value>,
    description: Option<serde_json::Value>,
    format: Option<serde_json::Value>,
}

impl FromRequest for NewFileBody {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = body::json::<Object<RawNewFile>>(request, payload);
        async move { Ok(Self(new_file(body.await?.0)?)) }.boxed_local()
    }
}

fn new_file(raw: RawNewFile) -> Result<NewFile, Error> {
    let mut wrong = Vec::new();
    let mut string = |pointer, value: Option<serde_json::Value>| match value {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(text)) => Some(text),
        Some(_) => {
            wrong.push(FieldError { pointer, detail: format!("{} must be a string", &pointer[1..]) });
            None
        }
    };
    let title = string("/title", raw.title);
    let description = string("/description", raw.description);
    let format = string("/format", raw.format);
    if !wrong.is_empty() {
        return Err(Error::invalid(wrong));
    }
    NewFile::new(title.as_deref(), description, format.as_deref())
}
