//! Queries of the API's lists.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;

use super::query;
use crate::domain::files::{Filters, GivenFilters};
use crate::domain::{DeadLetterPageRequest, PageRequest, Result};
use crate::http::error::HttpError;

/// Query of the list of files: `?limit=&cursor=&status=&q=&type=&origin=&tag=&folder=&owner=`.
pub(in crate::http) struct FilePageQuery(pub PageRequest);

#[derive(Deserialize)]
struct FileParameters {
    limit: Option<String>,
    cursor: Option<String>,
    status: Option<String>,
    q: Option<String>,
    r#type: Option<String>,
    origin: Option<String>,
    tag: Option<String>,
    folder: Option<String>,
    owner: Option<String>,
}

impl FilePageQuery {
    fn read(request: &HttpRequest) -> Result<Self> {
        let FileParameters { limit, cursor, status, q, r#type, origin, tag, folder, owner } =
            query::read(request)?;
        let page = PageRequest::new(limit.as_deref(), cursor.as_deref(), status.as_deref(), q.as_deref())?;
        let filters = Filters::new(GivenFilters {
            file_type: r#type.as_deref(),
            origin: origin.as_deref(),
            tag: tag.as_deref(),
            folder: folder.as_deref(),
            owner: owner.as_deref(),
        })?;
        Ok(Self(page.with_filters(filters)))
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
