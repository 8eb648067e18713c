//! Keyset paging: which slice of the list, newest first, and how the next one is named.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::text;
use super::{Error, ErrorKind, File, FileId, Result, Status};

/// Files on a page, unless asked otherwise.
pub const LIMIT_DEFAULT: i64 = 50;
/// Maximum of files on a page.
pub const LIMIT_MAX: i64 = 200;
const QUERY_MAX_CHARS: usize = 255;

/// Names the last file of a page; opaque outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub before: FileId,
}

impl Cursor {
    /// Writes the cursor as clients pass it back.
    pub fn encode(self) -> String {
        cursor("files:", self.before)
    }

    /// Parses what `encode` has written.
    pub fn decode(text: &str) -> Result<Self> {
        Ok(Self { before: read_cursor("files:", text)? })
    }
}

/// `kind` tells the cursors of different lists apart.
pub(super) fn cursor(kind: &str, before: impl fmt::Display) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{kind}{before}"))
}

pub(super) fn read_cursor<T: FromStr>(kind: &str, text: &str) -> Result<T> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let id = bytes.as_deref().and_then(|b| std::str::from_utf8(b).ok()?.strip_prefix(kind)?.parse().ok());
    id.ok_or_else(|| {
        let detail = "cursor is not one that this list gave out; start again without it";
        Error::new(ErrorKind::Malformed, "invalid_cursor", detail)
    })
}

pub(super) fn malformed(detail: String) -> Error {
    Error::new(ErrorKind::Malformed, "invalid_query", detail)
}

pub(super) fn read_limit(text: Option<&str>) -> Result<i64> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n));
    limit.ok_or_else(|| malformed(format!("limit must be a whole number from 1 to {LIMIT_MAX}")))
}

/// A valid slice: the only way to one is `PageRequest::new`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageRequest {
    pub limit: i64,
    pub cursor: Option<Cursor>,
    /// `None`: every status but deleted.
    pub status: Option<Status>,
    /// Part of the title, any case, normalized as titles are.
    pub query: Option<String>,
}

impl PageRequest {
    /// Parses the parameters of a request for a page.
    pub fn new(
        limit: Option<&str>,
        cursor: Option<&str>,
        status: Option<&str>,
        query: Option<&str>,
    ) -> Result<Self> {
        let limit = read_limit(limit)?;
        let status = status
            .filter(|name| !name.is_empty())
            .map(|name| {
                Status::from_name(name).ok_or_else(|| {
                    malformed(format!("status must be one of: {}", Status::ALL.map(Status::name).join(", ")))
                })
            })
            .transpose()?;
        let query = query.map(text::trimmed);
        if query.as_deref().is_some_and(|text| text.chars().count() > QUERY_MAX_CHARS || text.contains('\0'))
        {
            return Err(malformed(format!("q must have at most {QUERY_MAX_CHARS} characters and no U+0000")));
        }
        let cursor = cursor.map(Cursor::decode).transpose()?;
        let query = query.filter(|text| text::has_visible(text)).map(Cow::into_owned);
        Ok(Self { limit, cursor, status, query })
    }
}

/// Slice of the list, and where the next begins if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub files: Vec<File>,
    pub next: Option<Cursor>,
}

/// Bytes of the JSON of one page; the file that exceeds them begins the next one.
pub(super) const MAX_BYTES: usize = 256 << 10;

impl Page {
    /// Takes as many of `files` as fit: up to `limit`, within the bytes of a page, but one at least.
    pub fn of(files: impl IntoIterator<Item = File>, limit: usize) -> Self {
        let mut page = Self { files: Vec::new(), next: None };
        let mut bytes = 2;
        for file in files {
            bytes += serde_json::to_vec(&file).map_or(0, |json| json.len() + 1);
            if let Some(last) = page.files.last()
                && (page.files.len() >= limit || bytes > MAX_BYTES)
            {
                page.next = Some(Cursor { before: last.id });
                break;
            }
            page.files.push(file);
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_round_trip_and_a_forged_one_is_refused() {
        let cursor = Cursor { before: FileId(77) };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        for forged in ["", "x", "ZmlsZXM6", "NzQ", "😀", &BASE64_URL_SAFE_NO_PAD.encode("files:-1")] {
            assert_eq!(Cursor::decode(forged).unwrap_err().code, "invalid_cursor", "{forged:?}");
        }
    }

    #[test]
    fn limits_outside_the_contract_are_refused() {
        for limit in ["0", "-1", "201", "1e9", "1000000000", "abc", ""] {
            assert!(PageRequest::new(Some(limit), None, None, None).is_err(), "{limit:?}");
        }
        assert_eq!(PageRequest::new(None, None, Some(""), Some("  ")).unwrap().limit, LIMIT_DEFAULT);
    }
}
