//! JSON bodies in UTF-8.

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::body_reader::{has_media_type, read, unsupported_media_type, without_byte_order_mark};
use crate::domain::{Error, ErrorCode};
use crate::http::error::HttpError;

/// Reads and parses the body. Fails when the content type is not JSON, or names a charset other than UTF-8.
pub(in crate::http) fn parse<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> LocalBoxFuture<'static, Result<T, HttpError>> {
    let is_json = |essence: &str| {
        essence == "application/json" || essence.ends_with("+json") || essence.ends_with("/json")
    };
    let detail = "the body must be JSON in UTF-8, with Content-Type: application/json";
    parse_as(request, payload, is_json, detail)
}

/// Does what [`parse`] does for the media types that `is_right` names; `detail` says which they are.
pub(in crate::http) fn parse_as<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
    is_right: impl Fn(&str) -> bool,
    detail: &'static str,
) -> LocalBoxFuture<'static, Result<T, HttpError>> {
    let is_right = has_media_type(request, is_right);
    let body = read(request, payload);
    async move {
        if !is_right {
            return Err(unsupported_media_type(detail).into());
        }
        let body = body.await?;
        serde_json::from_slice(without_byte_order_mark(&body)).map_err(|error| {
            let detail = format!("the body is not a JSON object we can read: {error}");
            HttpError(Error::new(ErrorCode::MalformedJson, detail))
        })
    }
    .boxed_local()
}
