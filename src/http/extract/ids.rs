//! The `{id}` of a path.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::domain::{DeadLetterId, Error, ErrorKind, FileId};
use crate::http::error::HttpError;

/// Id of a file.
pub(in crate::http) struct FileIdParam(pub FileId);

impl FromRequest for FileIdParam {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request, "invalid_file_id").map(Self))
    }
}

/// Id of a dead letter.
pub(in crate::http) struct DeadLetterIdParam(pub DeadLetterId);

impl FromRequest for DeadLetterIdParam {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request, "invalid_letter_id").map(Self))
    }
}

fn parse<T: FromStr<Err: Display>>(request: &HttpRequest, code: &'static str) -> Result<T, HttpError> {
    let id = request.match_info().get("id").unwrap_or_default();
    id.parse().map_err(|cause: T::Err| HttpError(Error::new(ErrorKind::Malformed, code, cause.to_string())))
}
