//! The create form: what a browser sends, what goes to the domain, what comes back when a rule is broken.

use actix_web::ResponseError;
use actix_web::error::UrlencodedError;
use actix_web::http::StatusCode;
use serde::Deserialize;

use crate::domain::{Error, ErrorKind, FieldError, NewFile, Result};

/// A description at its longest, all of it line breaks (`%0D%0A` each), and the rest of the form.
pub const BODY_LIMIT: usize = 512 * 1024;

/// The body of `POST /ui/files`; whatever is missing is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CreateForm {
    pub csrf_token: String,
    pub title: String,
    pub description: String,
    #[serde(skip)]
    pub errors: Vec<FieldError>,
}

/// The body of a button's post.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ActForm {
    pub csrf_token: String,
}

impl CreateForm {
    /// Browsers send line breaks as CR LF; the file gets LF. An empty description is none.
    pub fn to_new_file(&self) -> Result<NewFile> {
        let description = self.description.replace("\r\n", "\n").replace('\r', "\n");
        let description = (!description.is_empty()).then_some(description);
        NewFile::new(Some(&self.title), description, None)
    }

    /// What is wrong with the field of this JSON Pointer.
    pub fn error(&self, pointer: &str) -> Option<&str> {
        let broken = self.errors.iter().find(|error| error.pointer == pointer);
        broken.map(|error| error.detail.as_str())
    }
}

/// A body that can't be read as this form.
pub fn unreadable(cause: &UrlencodedError) -> Error {
    let (kind, code, detail) = match cause.status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => (ErrorKind::TooLarge, "body_too_large", "the form is too long"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (
            ErrorKind::UnsupportedMedia,
            "unsupported_media_type",
            "a form is sent as application/x-www-form-urlencoded",
        ),
        _ => (
            ErrorKind::Malformed,
            "malformed_form",
            "the form can't be read: each field may come once, in UTF-8",
        ),
    };
    Error::new(kind, code, detail)
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
    fn an_untouched_description_is_none() {
        let form = CreateForm { title: "a".into(), ..CreateForm::default() };
        assert_eq!(form.to_new_file().unwrap().description, None);
    }
}
