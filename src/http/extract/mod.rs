//! Reading requests: bodies, ids and queries, each failing with our own error.

use actix_web::dev::Payload;
use actix_web::error::JsonPayloadError;
use actix_web::{FromRequest, HttpRequest, ResponseError, web};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{HttpError, of_status};
use crate::domain::idempotency::InvalidIdempotencyKey;
use crate::domain::{
    Error, ErrorKind, FieldError, FileId, IdempotencyKey, LetterId, LetterPageRequest, NewFile, Object,
    PageRequest,
};

/// A title and 64 KiB of description, every byte of it escaped as `\u00XX`, and room.
pub(super) const BODY_LIMIT: usize = 512 * 1024;

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
            let raw = web::Query::<RawPageQuery>::from_query(request.query_string())
                .map_err(|e| Error::new(ErrorKind::Malformed, "invalid_query", e.to_string()))?;
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
            let raw = web::Query::<RawLetterQuery>::from_query(request.query_string())
                .map_err(|e| Error::new(ErrorKind::Malformed, "invalid_query", e.to_string()))?;
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
        let body = json_body::<Object<RawNewFile>>(request, payload);
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

/// A JSON body; whatever its content type says besides JSON is refused. `middleware` limits its size and time.
fn json_body<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> LocalBoxFuture<'static, Result<T, HttpError>> {
    let body = web::Json::<T>::from_request(request, payload);
    async move {
        match body.await {
            Ok(body) => Ok(body.into_inner()),
            Err(error) => Err(HttpError(match error.as_error::<JsonPayloadError>() {
                Some(cause) => refused(cause),
                None => of_status(error.as_response_error().status_code(), error.to_string()),
            })),
        }
    }
    .boxed_local()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, which grows")]
fn refused(cause: &JsonPayloadError) -> Error {
    match cause {
        JsonPayloadError::ContentType => Error::new(
            ErrorKind::UnsupportedMedia,
            "unsupported_media_type",
            "the body must be JSON, with Content-Type: application/json",
        ),
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => Error::new(
            ErrorKind::TooLarge,
            "body_too_large",
            format!("the body has more than {BODY_LIMIT} bytes"),
        ),
        JsonPayloadError::Deserialize(error) => Error::new(
            ErrorKind::Malformed,
            "malformed_json",
            format!("the body is not a JSON object we can read: {error}"),
        ),
        other => of_status(other.status_code(), other.to_string()),
    }
}
