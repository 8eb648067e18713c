//! The record of a file.

use serde::{Deserialize, Serialize};

use super::status::{State, Status};
use super::{Attributes, FileOrigin, FileType, Format, ShownName, file_name};
use crate::domain::{Attempt, FileId, Timestamp};

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
    /// `None` for uploads.
    pub format: Option<Format>,
    pub content_type: String,
    /// Size of the object in bytes; `None` until completed, or when a foreign worker did not report it.
    pub size: Option<i64>,
    /// Lower-case hexadecimal SHA-256 of the object.
    pub sha256: Option<String>,
    pub attempt: Attempt,
    pub error: Option<String>,
    /// Time at which its texts were erased; only id, times, size and digest are left of a deleted file then.
    pub erased_at: Option<Timestamp>,
    /// True in lists when the description is cut.
    #[serde(default, skip_serializing_if = "is_false")]
    pub description_truncated: bool,
    #[serde(flatten)]
    pub attributes: Attributes,
    /// Number of the latest event about it; not part of the record.
    #[serde(skip)]
    pub sequence: i64,
}

/// Revision of a file: reads that give the same one have no transition between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    pub attempt: Attempt,
    pub sequence: i64,
}

impl File {
    /// Returns the part of the record that the transition table looks at.
    pub const fn state(&self) -> State {
        State { status: self.status, attempt: self.attempt, origin: self.attributes.origin }
    }

    /// Returns what distinguishes this revision of the file from others.
    pub const fn revision(&self) -> Revision {
        Revision { attempt: self.attempt, sequence: self.sequence }
    }

    /// Tells whether a client uploaded it.
    pub fn is_upload(&self) -> bool {
        self.attributes.origin == FileOrigin::Uploaded
    }

    /// Returns the group of its media type.
    pub fn file_type(&self) -> FileType {
        self.attributes.file_type.unwrap_or_else(|| FileType::of_media_type(&self.content_type))
    }

    /// Returns the name that it is shown with.
    pub fn shown_name(&self) -> ShownName<'_> {
        match self.attributes.file_name.as_deref() {
            Some(name) => ShownName::own(name),
            None => ShownName::new(&self.title, self.id, self.made_extension()),
        }
    }

    /// Returns stem and extension of the name that a download gets.
    pub fn name_parts(&self) -> (&str, &str) {
        match self.attributes.file_name.as_deref() {
            None => (&self.title, self.made_extension()),
            Some(name) => file_name::split(name),
        }
    }

    /// Returns the extension of a file that is named after its title: an upload has none but that of its own name.
    fn made_extension(&self) -> &'static str {
        self.format.map_or("", Format::name)
    }

    /// Removes its texts and where its object was.
    pub fn erase(&mut self, now: Timestamp) {
        ERASED.clone_into(&mut self.title);
        self.description = None;
        self.s3_location = None;
        self.error = None;
        self.attributes = Attributes { origin: self.attributes.origin, ..Attributes::default() };
        self.erased_at = Some(now);
    }
}

/// Title of a file whose texts were erased.
pub const ERASED: &str = "(deleted)";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_download_is_named_after_the_file_or_else_after_its_title() {
        let long = format!("a.{}", "x".repeat(253));
        for (file_name, format, parts) in [
            (None, Some(Format::Txt), ("T", "txt")),
            (None, None, ("T", "")),
            (Some("a.tar.gz"), None, ("a.tar", "gz")),
            (Some("Makefile"), Some(Format::Txt), ("Makefile", "")),
            (Some("a.été"), None, ("a", "été")),
            (Some(&*long), None, (&*long, "")),
        ] {
            let file: File = serde_json::from_value(json!({
                "id": 7, "title": "T", "status": "completed", "created_at": "2026-01-03T00:00:00Z",
                "updated_at": "2026-01-03T00:00:00Z", "format": format, "content_type": "text/plain", "attempt": 1,
                "origin": "generated", "file_name": file_name, "tags": [], "metadata": {}, "view_count": 0,
                "download_count": 0,
            }))
            .unwrap();
            assert_eq!(file.name_parts(), parts);
        }
    }
}
