//! Queries of the API's lists.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;

use super::query;
use crate::domain::{DeadLetterPageRequest, PageRequest, Result};
use crate::http::error::HttpError;

/// Query of the list of files: `?limit=&cursor=&status=&q=`.
pub(in crate::http) struct FilePageQuery(pub PageRequest);

#[derive(Deserialize)]
struct FileParameters {
    limit: Option<String>,
    cursor: Option<String>,
    status: Option<String>,
    q: Option<String>,
}

impl FilePageQuery {
    fn read(request: &HttpRequest) -> Result<Self> {
        let FileParameters { limit, cursor, status, q } = query::read(request)?;
        PageRequest::new(limit.as_deref(), cursor.as_deref(), status.as_deref(), q.as_deref()).map(Self)
    }
}

impl FromRequest for FilePageQuery {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request).map_err(HttpError))
    }
}

/// Query of the list of dead letters: `?limit=&cursor=&state=&file_id=`.
pub(in crate::http) struct DeadLetterPageQuery(pub DeadLetterPageRequest);

#[derive(Deserialize)]
struct DeadLetterParameters {
    limit: Option<String>,
    cursor: Option<String>,
    state: Option<String>,
    file_id: Option<String>,
}

impl DeadLetterPageQuery {
    fn read(request: &HttpRequest) -> Result<Self> {
        let DeadLetterParameters { limit, cursor, state, file_id } = query::read(request)?;
        DeadLetterPageRequest::new(limit.as_deref(), cursor.as_deref(), state.as_deref(), file_id.as_deref())
            .map(Self)
    }
}

impl FromRequest for DeadLetterPageQuery {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request).map_err(HttpError))
    }
}
