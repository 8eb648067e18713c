//! Forms of the pages: their fields, how they become requests, and what is shown when one is refused.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::files::new_file::{DESCRIPTION_MAX_BYTES, TITLE_MAX_CHARS};
use crate::domain::files::page::QUERY_MAX_CHARS;
use crate::domain::{FieldError, IdempotencyKey, NewFile, Result};

/// `maxlength` of a title. Browsers count UTF-16 code units, of which a character has up to two; what is between this and the
/// domain's limit is refused with a reason instead of being cut off while somebody pastes it.
pub const TITLE_MAX_LENGTH: usize = TITLE_MAX_CHARS * 2;
/// `maxlength` of a search text, for the same reason.
pub const QUERY_MAX_LENGTH: usize = QUERY_MAX_CHARS * 2;
/// `maxlength` of a description. A UTF-16 code unit is at least one byte of UTF-8, so everything that the domain accepts fits.
pub const DESCRIPTION_MAX_LENGTH: usize = DESCRIPTION_MAX_BYTES;
/// `maxlength` of an upload's description. The page's script sends it in a header, which proxies limit to 8 KiB.
pub const UPLOAD_DESCRIPTION_MAX_LENGTH: usize = 1000;

/// Body of `POST /ui/files`. A missing field is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CreateForm {
    pub csrf_token: String,
    /// UUID that is made with each form that is shown; part of the idempotency key.
    pub key: String,
    pub title: String,
    pub description: String,
    #[serde(skip)]
    pub errors: Vec<FieldError>,
    /// Reason why the form was refused, if it is not one of the fields.
    #[serde(skip)]
    pub refusal: Option<String>,
}

/// Fields of the form of `POST /ui/uploads`, as it is shown.
#[derive(Debug, Clone, Default)]
pub struct UploadForm {
    pub csrf_token: String,
    pub title: String,
    pub description: String,
    pub tags: String,
    pub folder: String,
    /// Maximum number of bytes of one file.
    pub max_bytes: i64,
    pub errors: Vec<FieldError>,
    /// Reason why the form was refused, if it is not one of the fields.
    pub refusal: Option<String>,
    /// Number of files that were stored before the form was refused.
    pub stored: usize,
}

/// Body of the POST that a button sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ActionForm {
    pub csrf_token: String,
    /// Attempt of the file when the button was shown.
    pub attempt: String,
}

impl CreateForm {
    /// Checks the fields. Line breaks, which browsers send as CR LF, become LF, and an empty description becomes none.
    pub fn to_new_file(&self) -> Result<NewFile> {
        let description = self.description.replace("\r\n", "\n").replace('\r', "\n");
        let description = (!description.is_empty()).then_some(description);
        NewFile::new(Some(&self.title), description, None)
    }

    /// Returns a key that is the same whenever this form is sent with these texts, so that a double click, a reload and a way
    /// back make one file. A changed text makes another file. Returns `None` for a form without a key.
    pub fn idempotency_key(&self, new: &NewFile) -> Option<IdempotencyKey> {
        let form = Uuid::parse_str(&self.key).ok()?;
        let text = serde_json::to_vec(&(&new.title, &new.description)).ok()?;
        let digest = Sha256::digest(text)
            .iter()
            .take(16)
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("form:{}:{digest}", form.simple()).parse().ok()
    }

    /// Gives the form a key if it has none. A form that is shown again keeps its key, by which a file that was stored before the
    /// failure is found.
    pub fn ensure_key(&mut self) {
        if Uuid::parse_str(&self.key).is_err() {
            self.key = Uuid::new_v4().to_string();
        }
    }

    /// Tells whether the form was sent and refused.
    pub fn is_refused(&self) -> bool {
        self.refusal.is_some() || !self.errors.is_empty()
    }

    /// Returns what is wrong with the field of this JSON Pointer.
    pub fn error(&self, pointer: &str) -> Option<&str> {
        find(&self.errors, pointer)
    }
}

impl UploadForm {
    /// Tells whether the form was sent and refused.
    pub fn is_refused(&self) -> bool {
        self.refusal.is_some() || !self.errors.is_empty()
    }

    /// Returns what is wrong with the field of this JSON Pointer.
    pub fn error(&self, pointer: &str) -> Option<&str> {
        find(&self.errors, pointer)
    }

    /// Returns the id of the input that the error is about: that of the files unless it is one of the texts.
    pub fn input(error: &FieldError) -> &'static str {
        match error.pointer {
            "/title" => "upload-title",
            "/description" => "upload-description",
            "/tags" => "upload-tags",
            "/folder" => "upload-folder",
            _ => "upload-files",
        }
    }
}

fn find<'a>(errors: &'a [FieldError], pointer: &str) -> Option<&'a str> {
    errors.iter().find(|error| error.pointer == pointer).map(|error| error.detail.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_of_the_browser_become_plain_ones() {
        let form =
            CreateForm { title: "  a ".into(), description: "1\r\n2\r3\n".into(), ..CreateForm::default() };
        let file = form.to_new_file().unwrap();
        assert_eq!((file.title.as_str(), file.description.as_deref()), ("a", Some("1\n2\n3\n")));
    }

    #[test]
    fn a_form_has_one_key_for_each_text() {
        let form = |key: &str, title: &str, description: &str| {
            let form = CreateForm {
                key: key.into(),
                title: title.into(),
                description: description.into(),
                ..CreateForm::default()
            };
            form.idempotency_key(&form.to_new_file().unwrap())
        };
        let (one, other) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let first = form(&one, "a", "b").unwrap();
        assert_eq!(form(&one.to_uppercase(), " a ", "b"), Some(first.clone()));
        for different in [form(&one, "a", "c"), form(&one, "ab", ""), form(&other, "a", "b")] {
            assert_ne!(different.unwrap(), first);
        }
        assert_eq!(form("", "a", "b"), None);
        assert_eq!(form("x", "a", "b"), None);
    }

    #[test]
    fn an_untouched_description_is_none() {
        let form = CreateForm { title: "a".into(), ..CreateForm::default() };
        assert_eq!(form.to_new_file().unwrap().description, None);
    }
}
