//! Conditional answers: an entity tag over the JSON, 304 when the caller has it (RFC 9110 §13).

use actix_web::http::header::{self, ETag, EntityTag, Header, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::error::HttpError;
use crate::domain::Error;

/// Weak, since compression changes the bytes and not the meaning.
pub(super) fn weak(bytes: &[u8]) -> EntityTag {
    let digest = Sha256::digest(bytes);
    let text = digest.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    EntityTag::new_weak(text)
}

/// True when the caller has what `tag` stands for.
pub(super) fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key(header::IF_NONE_MATCH),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

/// 200 with the value, or 304 without; `builder` may bring headers that both carry.
pub(super) fn json(
    request: &HttpRequest,
    value: &impl Serialize,
    builder: HttpResponseBuilder,
) -> Result<HttpResponse, HttpError> {
    Ok(Json::of(value)?.answer(request, builder))
}

/// A value as it is sent.
#[derive(Clone)]
pub(super) struct Json {
    pub body: Bytes,
    tag: EntityTag,
}

impl Json {
    pub fn of(value: &impl Serialize) -> Result<Self, HttpError> {
        let body = serde_json::to_vec(value)
            .map_err(|error| Error::internal("the answer can't be written").because(error))?;
        Ok(Self { tag: weak(&body), body: body.into() })
    }

    /// As `json`.
    pub fn answer(self, request: &HttpRequest, mut builder: HttpResponseBuilder) -> HttpResponse {
        let Self { body, tag } = self;
        builder.insert_header(ETag(tag.clone())).insert_header((header::CACHE_CONTROL, "private, no-cache"));
        if is_known(request, &tag) {
            return builder.status(actix_web::http::StatusCode::NOT_MODIFIED).finish();
        }
        builder.content_type("application/json").body(body)
    }
}
