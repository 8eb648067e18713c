//! Lists of dead letters, newest first, page by page.

use super::dead_letter::{DeadLetter, DeadLetterState};
use crate::domain::pagination::{MAX_PAGE_BYTES, decode_cursor, encode_cursor, invalid_query, parse_limit};
use crate::domain::{DeadLetterId, FileId, Result};

/// Position in the list: the last dead letter of a page. Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetterCursor {
    pub before: DeadLetterId,
}

const CURSOR: &str = "dead-letters:";

impl DeadLetterCursor {
    /// Writes the cursor as clients pass it back.
    pub fn encode(self) -> String {
        encode_cursor(CURSOR, self.before)
    }
}

/// Request for one page of the list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterPageRequest {
    pub limit: i64,
    pub cursor: Option<DeadLetterCursor>,
    /// Limits the list to one state; `None` for all states.
    pub state: Option<DeadLetterState>,
    /// Limits the list to one file.
    pub file_id: Option<FileId>,
}

/// Name that asks for all states.
pub const ANY_STATE: &str = "all";

impl DeadLetterPageRequest {
    /// Parses the query parameters. Without a state, the open ones are listed.
    pub fn new(
        limit: Option<&str>,
        cursor: Option<&str>,
        state: Option<&str>,
        file_id: Option<&str>,
    ) -> Result<Self> {
        let state = match state.filter(|name| !name.is_empty()) {
            None => Some(DeadLetterState::Open),
            Some(ANY_STATE) => None,
            Some(name) => Some(DeadLetterState::from_name(name).ok_or_else(|| {
                let names = DeadLetterState::ALL.map(DeadLetterState::name).join(", ");
                invalid_query(format!("state must be one of: {names}, {ANY_STATE}"))
            })?),
        };
        let file_id = file_id.filter(|text| !text.is_empty()).map(str::parse).transpose();
        let file_id =
            file_id.map_err(|error: crate::domain::ids::InvalidFileId| invalid_query(error.to_string()))?;
        let before = cursor.map(|text| decode_cursor(CURSOR, text)).transpose()?;
        let cursor = before.map(|before| DeadLetterCursor { before });
        Ok(Self { limit: parse_limit(limit)?, cursor, state, file_id })
    }

    /// Returns the name of the state that is asked for.
    pub fn state_name(&self) -> &'static str {
        self.state.map_or(ANY_STATE, DeadLetterState::name)
    }
}

/// Page of the list, and the position of the next one, if there is one. Long values are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterPage {
    pub dead_letters: Vec<DeadLetter>,
    pub next: Option<DeadLetterCursor>,
}

impl DeadLetterPage {
    /// Takes as many of `dead letters` as fit: up to `limit`, within the bytes of a page, but one at least.
    pub fn of(dead_letters: impl IntoIterator<Item = DeadLetter>, limit: usize) -> Self {
        let mut page = Self { dead_letters: Vec::new(), next: None };
        let mut bytes = 2;
        for dead_letter in dead_letters {
            bytes += serde_json::to_vec(&dead_letter).map_or(0, |json| json.len() + 1);
            if let Some(last) = page.dead_letters.last()
                && (page.dead_letters.len() >= limit || bytes > MAX_PAGE_BYTES)
            {
                page.next = Some(DeadLetterCursor { before: last.id });
                break;
            }
            page.dead_letters.push(dead_letter);
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_begins_with_what_is_open_and_refuses_what_it_does_not_know() {
        let plain = DeadLetterPageRequest::new(None, None, None, None).unwrap();
        assert_eq!((plain.state, plain.limit), (Some(DeadLetterState::Open), 50));
        assert_eq!(DeadLetterPageRequest::new(None, None, Some("all"), None).unwrap().state, None);
        let cursor = DeadLetterCursor { before: DeadLetterId(7) };
        let next = DeadLetterPageRequest::new(None, Some(&cursor.encode()), None, Some("42")).unwrap();
        assert_eq!((next.cursor, next.file_id), (Some(cursor), Some(FileId(42))));
        let of_files = crate::domain::Cursor { before: FileId(7) }.encode();
        for (limit, cursor, state, file) in [
            (Some("0"), None, None, None),
            (None, Some("x"), None, None),
            (None, Some(&*of_files), None, None),
            (None, None, Some("Open"), None),
            (None, None, None, Some("-1")),
        ] {
            assert!(DeadLetterPageRequest::new(limit, cursor, state, file).is_err());
        }
    }
}
