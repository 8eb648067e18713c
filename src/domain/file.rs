//! A file as everyone sees it, a request for a new one, and one line of its history.

use serde::{Deserialize, Serialize};

use super::text;
use super::{Attempt, Error, FieldError, FileId, Format, Result, Status, Timestamp};

/// The record of the HTTP API, in the order of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub id: FileId,
    pub title: String,
    pub description: Option<String>,
    pub status: Status,
    /// `s3://bucket/key` once completed.
    pub s3_location: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub format: Format,
    pub content_type: String,
    /// Bytes of the object; `None` until completed, or when a foreign worker didn't say.
    pub size: Option<i64>,
    /// Lower-case hexadecimal SHA-256 of the object.
    pub sha256: Option<String>,
    pub attempt: Attempt,
    pub error: Option<String>,
    /// When its texts were erased: it is deleted, and nothing but id, times, size and digest is left.
    pub erased_at: Option<Timestamp>,
    /// In a list: the description is only its beginning.
    #[serde(default, skip_serializing_if = "is_false")]
    pub description_truncated: bool,
    /// Number of the newest fact about it; not part of the record.
    #[serde(skip)]
    pub sequence: i64,
}

/// Two looks at a file that give the same mark have no move between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub attempt: Attempt,
    pub sequence: i64,
}

impl File {
    /// Returns what tells this state of the file from others.
    pub const fn mark(&self) -> Mark {
        Mark { attempt: self.attempt, sequence: self.sequence }
    }

    /// Forgets what it was about.
    pub fn erase(&mut self, now: Timestamp) {
        ERASED.clone_into(&mut self.title);
        self.description = None;
        self.s3_location = None;
        self.error = None;
        self.erased_at = Some(now);
    }

    /// A request that was just accepted.
    pub fn accepted(id: FileId, new: &NewFile, now: Timestamp) -> Self {
        Self {
            id,
            title: new.title.clone(),
            description: new.description.clone(),
            status: Status::Pending,
            s3_location: None,
            created_at: now,
            updated_at: now,
            format: new.format,
            content_type: new.format.media_type().to_owned(),
            size: None,
            sha256: None,
            attempt: Attempt::FIRST,
            error: None,
            erased_at: None,
            description_truncated: false,
            sequence: 1,
        }
    }
}

/// Stands in the place of texts that were erased.
pub const ERASED: &str = "(deleted)";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Maximum length of a title, in characters.
pub const TITLE_MAX_CHARS: usize = 255;
/// Maximum length of a description, in bytes of UTF-8.
pub const DESCRIPTION_MAX_BYTES: usize = 64 * 1024;

/// A valid request: the only way to one is `NewFile::new`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub title: String,
    pub description: Option<String>,
    pub format: Format,
}

impl NewFile {
    /// Whether `file` is what this asks for. Of an erased one nobody knows.
    pub fn is_of(&self, file: &File) -> bool {
        if file.erased_at.is_some() {
            return true;
        }
        let title = text::normalized(&file.title);
        (self.title.as_str(), &self.description, self.format) == (&*title, &file.description, file.format)
    }

    /// Trims the title and normalizes it; reports every broken rule at once.
    pub fn new(title: Option<&str>, description: Option<String>, format: Option<&str>) -> Result<Self> {
        let title = title.map(text::trimmed).unwrap_or_default();
        let parsed = format.map_or(Some(Format::default()), Format::from_name);
        let broken: Vec<FieldError> =
            [title_problem(&title), description_problem(description.as_deref()), format_problem(parsed)]
                .into_iter()
                .flatten()
                .collect();
        match parsed {
            Some(format) if broken.is_empty() => Ok(Self { title: title.into_owned(), description, format }),
            _ => Err(Error::invalid(broken)),
        }
    }
}

fn title_problem(title: &str) -> Option<FieldError> {
    let detail = if title.is_empty() {
        "title is required: 1 to 255 characters".to_owned()
    } else if !text::has_visible(title) && !title.chars().any(char::is_control) {
        "title must have a visible character".to_owned()
    } else if title.chars().count() > TITLE_MAX_CHARS {
        format!("title has {} characters; at most {TITLE_MAX_CHARS} are allowed", title.chars().count())
    } else if title.chars().any(char::is_control) {
        "title must not contain control characters".to_owned()
    } else {
        return None;
    };
    Some(FieldError { pointer: "/title", detail })
}

fn description_problem(description: Option<&str>) -> Option<FieldError> {
    let text = description.unwrap_or_default();
    let detail = if text.len() > DESCRIPTION_MAX_BYTES {
        format!("description has {} bytes; at most {DESCRIPTION_MAX_BYTES} are allowed", text.len())
    } else if text.contains('\0') {
        "description must not contain U+0000".to_owned()
    } else {
        return None;
    };
    Some(FieldError { pointer: "/description", detail })
}

fn format_problem(format: Option<Format>) -> Option<FieldError> {
    let names = || Format::ALL.map(Format::name).join(", ");
    format
        .is_none()
        .then(|| FieldError { pointer: "/format", detail: format!("format must be one of: {}", names()) })
}

/// Line of `GET /files/{id}/timeline`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub at: Timestamp,
    /// `None` for the first line.
    pub from: Option<Status>,
    pub to: Status,
    pub attempt: Attempt,
    /// Who did the work, as it names itself.
    pub worker: Option<String>,
    /// Where in `file.create` the request lay.
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub duration_ms: Option<i64>,
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_trimmed_and_counted_in_characters() {
        let ok = NewFile::new(Some("  é \n"), None, None).unwrap();
        assert_eq!(ok.title, "é");
        assert!(NewFile::new(Some(&"é".repeat(255)), None, Some("txt")).is_ok());
        assert!(NewFile::new(Some(&"é".repeat(256)), None, None).is_err());
    }

    #[test]
    fn every_broken_rule_is_reported_at_once() {
        let error = NewFile::new(Some("a\u{0}b"), Some("\0".into()), Some("exe")).unwrap_err();
        let pointers: Vec<_> = error.fields.iter().map(|field| field.pointer).collect();
        assert_eq!(pointers, ["/title", "/description", "/format"]);
    }
}
