//! Lists of files, newest first, page by page.

use std::borrow::Cow;

use super::{File, Filters, Status};
use crate::domain::pagination::{MAX_PAGE_BYTES, decode_cursor, encode_cursor, invalid_query, parse_limit};
use crate::domain::{FileId, Result, text};

/// Maximum length of a search text, in characters.
pub const QUERY_MAX_CHARS: usize = 255;

/// Position in the list: the last file of a page. Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub before: FileId,
}

impl Cursor {
    /// Writes the cursor as clients pass it back.
    pub fn encode(self) -> String {
        encode_cursor("files:", self.before)
    }

    /// Parses what `encode` has written.
    pub fn decode(text: &str) -> Result<Self> {
        Ok(Self { before: decode_cursor("files:", text)? })
    }
}

/// Request for one page of the list; made by [`PageRequest::new`] alone, which validates it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageRequest {
    pub limit: i64,
    pub cursor: Option<Cursor>,
    /// Limits the list to one status; `None` for all but deleted.
    pub status: Option<Status>,
    /// Text that the title contains, in any case, normalized as titles are.
    pub query: Option<String>,
    pub filters: Filters,
}

impl PageRequest {
    /// Parses the parameters of a request for a page.
    pub fn new(
        limit: Option<&str>,
        cursor: Option<&str>,
        status: Option<&str>,
        query: Option<&str>,
    ) -> Result<Self> {
        let limit = parse_limit(limit)?;
        let status = status
            .filter(|name| !name.is_empty())
            .map(|name| {
                Status::from_name(name).ok_or_else(|| {
                    invalid_query(format!(
                        "status must be one of: {}",
                        Status::ALL.map(Status::name).join(", ")
                    ))
                })
            })
            .transpose()?;
        let query = query.map(text::trimmed);
        if query.as_deref().is_some_and(|text| text.chars().count() > QUERY_MAX_CHARS || text.contains('\0'))
        {
            return Err(invalid_query(format!(
                "q must have at most {QUERY_MAX_CHARS} characters and no U+0000"
            )));
        }
        let cursor = cursor.map(Cursor::decode).transpose()?;
        let query = query.filter(|text| text::has_visible(text)).map(Cow::into_owned);
        Ok(Self { limit, cursor, status, query, filters: Filters::default() })
    }

    /// Limits the list further.
    #[must_use]
    pub fn with_filters(self, filters: Filters) -> Self {
        Self { filters, ..self }
    }
}

/// Page of the list, and the position of the next one, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub files: Vec<File>,
    pub next: Option<Cursor>,
}

impl Page {
    /// Takes as many of `files` as fit: up to `limit`, within the bytes of a page, but one at least.
    pub fn of(files: impl IntoIterator<Item = File>, limit: usize) -> Self {
        let mut page = Self { files: Vec::new(), next: None };
        let mut bytes = 2;
        for file in files {
            bytes += serde_json::to_vec(&file).map_or(0, |json| json.len() + 1);
            if let Some(last) = page.files.last()
                && (page.files.len() >= limit || bytes > MAX_PAGE_BYTES)
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
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;
    use crate::domain::pagination::LIMIT_DEFAULT;

    #[test]
    fn a_cursor_survives_the_round_trip_and_a_forged_one_is_refused() {
        let cursor = Cursor { before: FileId(77) };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        for forged in ["", "x", "ZmlsZXM6", "NzQ", "😀", &BASE64_URL_SAFE_NO_PAD.encode("files:-1")] {
            assert_eq!(Cursor::decode(forged).unwrap_err().code.name(), "invalid_cursor", "{forged:?}");
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
