//! The `Idempotency-Key` header.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::domain::idempotency::InvalidIdempotencyKey;
use crate::domain::{Error, ErrorCode, IdempotencyKey};
use crate::http::error::HttpError;

/// Key of a request that makes something, if it has one.
pub(in crate::http) struct IdempotencyKeyHeader(pub Option<IdempotencyKey>);

impl FromRequest for IdempotencyKeyHeader {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

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
        ready(key.map_err(|cause| HttpError(Error::new(ErrorCode::InvalidIdempotencyKey, cause.to_string()))))
    }
}
