//! A request for a new file, and the rules that it has to keep.

use super::{Attributes, File, Format, Status};
use crate::domain::text;
use crate::domain::{Attempt, Error, FieldError, FileId, Result, Timestamp};

/// Maximum length of a title, in characters.
pub const TITLE_MAX_CHARS: usize = 255;
/// Maximum length of a description, in bytes of UTF-8.
pub const DESCRIPTION_MAX_BYTES: usize = 64 * 1024;

/// Valid request for a file; made by [`NewFile::new`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub title: String,
    pub description: Option<String>,
    pub format: Format,
}

impl NewFile {
    /// Tells whether `file` is what this asks for. An erased file counts as such: what it was can no longer be compared.
    pub fn is_of(&self, file: &File) -> bool {
        if file.erased_at.is_some() {
            return true;
        }
        let title = text::normalized(&file.title);
        (self.title.as_str(), &self.description, Some(self.format))
            == (&*title, &file.description, file.format)
    }

    /// Makes the record of the file that this asks for.
    pub fn to_file(&self, id: FileId, now: Timestamp) -> File {
        File {
            id,
            title: self.title.clone(),
            description: self.description.clone(),
            status: Status::Pending,
            s3_location: None,
            created_at: now,
            updated_at: now,
            format: Some(self.format),
            content_type: self.format.media_type().to_owned(),
            size: None,
            sha256: None,
            attempt: Attempt::FIRST,
            error: None,
            erased_at: None,
            description_truncated: false,
            attributes: Attributes::default(),
            sequence: 1,
        }
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

pub(super) fn title_problem(title: &str) -> Option<FieldError> {
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

pub(super) fn description_problem(description: Option<&str>) -> Option<FieldError> {
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
