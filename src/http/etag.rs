//! Entity tags over JSON, and conditional answers: 304 when the caller has it, 412 when it isn't what the caller wants.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ETag, EntityTag, LastModified};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::error::HttpError;
use super::negotiation;
use super::preconditions::{self, Outcome, Preconditions, Validators, http_date};
use crate::domain::{Error, Timestamp};

/// Makes the tag of what is only ever compared by `If-None-Match`: compression changes the bytes and not the meaning.
pub(super) fn weak(bytes: &[u8]) -> EntityTag {
    EntityTag::new_weak(digest(bytes))
}

/// Makes the tag of what can be changed on condition (`If-Match`). The compressed bytes have a tag of their own:
/// [`gzipped`].
pub(super) fn strong(bytes: &[u8]) -> EntityTag {
    EntityTag::new_strong(digest(bytes))
}

fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The tag of the same content with gzip as its coding.
pub(super) fn gzipped(tag: EntityTag) -> EntityTag {
    if tag.weak { tag } else { EntityTag::new_strong(format!("{}-gzip", tag.tag())) }
}

/// The answer instead of the content, when a precondition of a GET or HEAD request asks for that.
pub(super) fn unless_needed(request: &HttpRequest, now: &Validators) -> Result<Option<StatusCode>, Error> {
    let conditions = Preconditions::of(request);
    if conditions.is_empty() {
        return Ok(None);
    }
    match conditions.check(now, true) {
        Outcome::Proceed => Ok(None),
        Outcome::NotModified => Ok(Some(StatusCode::NOT_MODIFIED)),
        Outcome::Failed => Err(preconditions::failed()),
    }
}

/// Adds `Last-Modified`, once no further change can have the same date (RFC 9110 §8.8.2).
pub(super) fn insert_date(response: &mut HttpResponseBuilder, modified: Timestamp) {
    let date = http_date(modified);
    if date <= http_date(Timestamp::now().minus(Duration::from_secs(1))) {
        response.insert_header(LastModified(date));
    }
}

/// 200 with the value, or 304 without; `builder` may bring headers that both carry.
pub(super) fn json(
    request: &HttpRequest,
    value: &impl Serialize,
    builder: HttpResponseBuilder,
) -> Result<HttpResponse, HttpError> {
    Json::of(value)?.answer(request, builder)
}

/// Answers like `json`, with what can be changed on condition.
pub(super) fn changeable(
    request: &HttpRequest,
    value: &impl Serialize,
    modified: Option<Timestamp>,
) -> Result<HttpResponse, HttpError> {
    let Json { body, tag } = Json::of(value)?;
    let tag = EntityTag::new_strong(tag.tag().to_owned());
    let mut response = HttpResponse::Ok();
    if let Some(modified) = modified {
        insert_date(&mut response, modified);
    }
    let now = Validators { tag: Some(tag), modified: modified.map(http_date) };
    answer(request, body, &now, response)
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

    pub fn validators(&self) -> Validators {
        Validators::of_tag(self.tag.clone())
    }

    /// Answers like `json`.
    pub fn answer(
        self,
        request: &HttpRequest,
        builder: HttpResponseBuilder,
    ) -> Result<HttpResponse, HttpError> {
        answer(request, self.body, &Validators::of_tag(self.tag), builder)
    }
}

fn answer(
    request: &HttpRequest,
    body: Bytes,
    now: &Validators,
    mut builder: HttpResponseBuilder,
) -> Result<HttpResponse, HttpError> {
    let instead = unless_needed(request, now)?;
    if let Some(tag) = now.tag.clone() {
        let is_gzipped = negotiation::is_gzipped(request.headers());
        builder.insert_header(ETag(if is_gzipped { gzipped(tag) } else { tag }));
    }
    builder.insert_header((header::CACHE_CONTROL, "private, no-cache"));
    Ok(match instead {
        Some(status) => builder.status(status).finish(),
        None => builder.content_type("application/json").body(body),
    })
}
