//! Extractors: typed parts of a request, each failing with an error of the domain.

mod body_reader;
mod form_body;
mod idempotency_key;
mod ids;
pub(super) mod json_body;
mod page_query;
pub(super) mod query;

pub(super) use body_reader::MAX_BODY_BYTES;
pub(super) use form_body::FormBody;
pub(super) use idempotency_key::IdempotencyKeyHeader;
pub(super) use ids::{DeadLetterIdParam, FileIdParam};
pub(super) use page_query::{DeadLetterPageQuery, FilePageQuery};
