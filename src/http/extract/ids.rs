//! The `{id}` of a path.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::domain::{DeadLetterId, Error, ErrorCode, FileId};
use crate::http::error::HttpError;

/// Id of a file.
pub(in crate::http) struct FileIdParam(pub FileId);

impl FromRequest for FileIdParam {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request, ErrorCode::InvalidFileId).map(Self))
    }
}

/// Id of a dead letter.
pub(in crate::http) struct DeadLetterIdParam(pub DeadLetterId);

impl FromRequest for DeadLetterIdParam {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request, ErrorCode::InvalidDeadLetterId).map(Self))
    }
}

fn parse<T: FromStr<Err: Display>>(request: &HttpRequest, code: ErrorCode) -> Result<T, HttpError> {
    let id = request.match_info().get("id").unwrap_or_default();
    id.parse().map_err(|cause: T::Err| HttpError(Error::new(code, cause.to_string())))
}
