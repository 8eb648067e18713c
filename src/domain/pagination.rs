//! Keyset pagination: limits and cursors that all lists share.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{Error, ErrorCode, Result};

/// Number of entries on a page, unless asked otherwise.
pub const LIMIT_DEFAULT: i64 = 50;
/// Maximum number of entries on a page.
pub const LIMIT_MAX: i64 = 200;
/// Maximum size of the JSON of one page, in bytes; the entry that exceeds it begins the next page.
pub(super) const MAX_PAGE_BYTES: usize = 256 << 10;

/// Writes a cursor; `kind` tells the cursors of different lists apart.
pub(in crate::domain) fn encode_cursor(kind: &str, before: impl fmt::Display) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{kind}{before}"))
}

pub(in crate::domain) fn decode_cursor<T: FromStr>(kind: &str, text: &str) -> Result<T> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let id = bytes.as_deref().and_then(|b| std::str::from_utf8(b).ok()?.strip_prefix(kind)?.parse().ok());
    id.ok_or_else(|| {
        let detail = "cursor is not one that this list gave out; start again without it";
        Error::new(ErrorCode::InvalidCursor, detail)
    })
}

pub(in crate::domain) fn invalid_query(detail: String) -> Error {
    Error::new(ErrorCode::InvalidQuery, detail)
}

pub(in crate::domain) fn parse_limit(text: Option<&str>) -> Result<i64> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n));
    limit.ok_or_else(|| invalid_query(format!("limit must be a whole number from 1 to {LIMIT_MAX}")))
}
