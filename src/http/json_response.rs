//! JSON answers with an entity tag over their bytes, and the 304 in their place when the client has that version.

use actix_web::http::header::{self, ETag, EntityTag};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde::Serialize;

use super::error::HttpError;
use super::validators::{Validators, http_date, insert_last_modified};
use super::{etag, negotiation, preconditions};
use crate::domain::{Error, Result, Timestamp};

/// Serialised value. Copies share the bytes.
#[derive(Clone)]
pub(super) struct Json {
    pub body: Bytes,
    tag: EntityTag,
}

impl Json {
    /// Serialises a value whose tag is weak.
    pub fn new(value: &impl Serialize) -> Result<Self> {
        let body = serialise(value)?;
        Ok(Self { tag: etag::weak(&body), body: body.into() })
    }

    pub fn validators(&self) -> Validators {
        Validators::tag_only(self.tag.clone())
    }

    /// Answers 200 with the value, or 304 without; both carry the headers that `builder` brings.
    pub fn respond(
        self,
        request: &HttpRequest,
        builder: HttpResponseBuilder,
    ) -> Result<HttpResponse, HttpError> {
        respond(request, self.body, &Validators::tag_only(self.tag), builder)
    }
}

/// Answers with a value that can only be read: its tag is weak.
pub(super) fn read_only(request: &HttpRequest, value: &impl Serialize) -> Result<HttpResponse, HttpError> {
    Json::new(value)?.respond(request, HttpResponse::Ok())
}

/// Answers with a value that can be changed on condition: its tag is strong, see [`strong_tag`].
pub(super) fn changeable(
    request: &HttpRequest,
    value: &impl Serialize,
    modified: Option<Timestamp>,
) -> Result<HttpResponse, HttpError> {
    let body = serialise(value)?;
    let mut response = HttpResponse::Ok();
    if let Some(modified) = modified {
        insert_last_modified(&mut response, modified);
    }
    let validators = Validators { tag: Some(etag::strong(&body)), modified: modified.map(http_date) };
    respond(request, body.into(), &validators, response)
}

/// Answers with a value that the request has changed, on conditions that were judged before.
pub(super) fn changed(
    request: &HttpRequest,
    value: &impl Serialize,
    modified: Timestamp,
) -> Result<HttpResponse, HttpError> {
    let body = serialise(value)?;
    let tag = etag::strong(&body);
    let mut response = HttpResponse::Ok();
    insert_last_modified(&mut response, modified);
    insert_tag(request, tag, &mut response);
    Ok(response.content_type("application/json").body(body))
}

/// Returns the tag that [`changeable`] gives the value.
pub(super) fn strong_tag(value: &impl Serialize) -> Result<EntityTag> {
    Ok(etag::strong(&serialise(value)?))
}

fn serialise(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::internal("the answer can't be written").because(error))
}

/// Inserts the tag of the answer as it is sent: compressed bytes have another one.
fn insert_tag(request: &HttpRequest, tag: EntityTag, builder: &mut HttpResponseBuilder) {
    let is_gzipped = negotiation::is_gzipped(request.headers());
    builder.insert_header(ETag(if is_gzipped { etag::gzipped(tag) } else { tag }));
}

fn respond(
    request: &HttpRequest,
    body: Bytes,
    validators: &Validators,
    mut builder: HttpResponseBuilder,
) -> Result<HttpResponse, HttpError> {
    let status = preconditions::status_without_content(request, validators)?;
    if let Some(tag) = validators.tag.clone() {
        insert_tag(request, tag, &mut builder);
    }
    builder.insert_header((header::CACHE_CONTROL, "private, no-cache"));
    Ok(match status {
        Some(status) => builder.status(status).finish(),
        None => builder.content_type("application/json").body(body),
    })
}
