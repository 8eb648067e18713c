//! Request bodies: JSON and forms, both in UTF-8, with or without a byte order mark in front.

use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::{BODY_LIMIT, query};
use crate::domain::{Error, ErrorKind};
use crate::http::error::{HttpError, of_status};

/// A JSON body; whatever its content type says besides JSON in UTF-8 is refused.
pub(super) fn json<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> LocalBoxFuture<'static, Result<T, HttpError>> {
    let is_json = has_media_type(request, |essence| {
        essence == "application/json" || essence.ends_with("+json") || essence.ends_with("/json")
    });
    let body = read(request, payload);
    async move {
        if !is_json {
            let detail = "the body must be JSON in UTF-8, with Content-Type: application/json";
            return Err(unsupported(detail).into());
        }
        let body = body.await?;
        serde_json::from_slice(without_mark(&body)).map_err(|error| {
            let detail = format!("the body is not a JSON object we can read: {error}");
            HttpError(Error::new(ErrorKind::Malformed, "malformed_json", detail))
        })
    }
    .boxed_local()
}

/// The body of a page's form.
pub(in crate::http) struct Form<T>(T);

impl<T> Form<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Form<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Form<T> {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_form = has_media_type(request, |essence| essence == "application/x-www-form-urlencoded");
        let body = read(request, payload);
        async move {
            if !is_form {
                let detail = "a form is sent as application/x-www-form-urlencoded, in UTF-8";
                return Err(unsupported(detail).into());
            }
            let body = body.await?;
            query::parse(without_mark(&body)).map(Self).map_err(|_| {
                let detail = "the form can't be read: each field may come once, in UTF-8";
                HttpError(Error::new(ErrorKind::Malformed, "malformed_form", detail))
            })
        }
        .boxed_local()
    }
}

/// True when the content type is the right one, and its charset, if it says one, is UTF-8.
fn has_media_type(request: &HttpRequest, is_right: impl Fn(&str) -> bool) -> bool {
    let Ok(Some(mime)) = request.mime_type() else { return false };
    let is_utf8 = mime.get_param("charset").is_none_or(|charset| {
        charset.as_str().eq_ignore_ascii_case("utf-8") || charset.as_str().eq_ignore_ascii_case("utf8")
    });
    is_utf8 && is_right(&mime.essence_str().to_ascii_lowercase())
}

/// RFC 8259 §8.1 lets a reader ignore the mark; programs of others write it.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn unsupported(detail: &str) -> Error {
    Error::new(ErrorKind::UnsupportedMedia, "unsupported_media_type", detail)
}

/// The whole body, unzipped. `middleware` limits how long and how slowly it may arrive.
fn read(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, HttpError>> + use<> {
    let body = Bytes::from_request(request, payload);
    async move {
        body.await.map_err(|error| {
            HttpError(match error.as_error::<PayloadError>() {
                Some(PayloadError::Overflow) => {
                    let detail = format!("the body has more than {BODY_LIMIT} bytes");
                    Error::new(ErrorKind::TooLarge, "body_too_large", detail)
                }
                _ => of_status(error.as_response_error().status_code(), error.to_string()),
            })
        })
    }
}
