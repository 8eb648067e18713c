//! The create form: what a browser sends, what goes to the domain, what comes back when a rule is broken.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::{FieldError, IdempotencyKey, NewFile, Result};

/// The body of `POST /ui/files`; whatever is missing is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CreateForm {
    pub csrf_token: String,
    /// A UUID, made with each form that is shown.
    pub key: String,
    pub title: String,
    pub description: String,
    #[serde(skip)]
    pub errors: Vec<FieldError>,
    /// Why the form was not accepted, where no field is to blame.
    #[serde(skip)]
    pub refusal: Option<String>,
}

/// The body of a button's post.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ActForm {
    pub csrf_token: String,
    /// The file's attempt when the button was shown.
    pub attempt: String,
}

impl CreateForm {
    /// Browsers send line breaks as CR LF; the file gets LF. An empty description is none.
    pub fn to_new_file(&self) -> Result<NewFile> {
        let description = self.description.replace("\r\n", "\n").replace('\r', "\n");
        let description = (!description.is_empty()).then_some(description);
        NewFile::new(Some(&self.title), description, None)
    }

    /// The same for the same file from the same form, so that a double click, a reload and a way back make one file. A
    /// changed text is another file. `None` for forms that have no key.
    pub fn idempotency_key(&self, new: &NewFile) -> Option<IdempotencyKey> {
        let form = Uuid::parse_str(&self.key).ok()?;
        let text = serde_json::to_vec(&(&new.title, &new.description)).ok()?;
        let digest = Sha256::digest(text)
            .iter()
            .take(16)
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("form:{}:{digest}", form.simple()).parse().ok()
    }

    /// Keeps the key of a form that is shown again: what was stored before the failure is found by it.
    pub fn ensure_key(&mut self) {
        if Uuid::parse_str(&self.key).is_err() {
            self.key = Uuid::new_v4().to_string();
        }
    }

    /// It was posted and no file was made.
    pub fn is_refused(&self) -> bool {
        self.refusal.is_some() || !self.errors.is_empty()
    }

    /// What is wrong with the field of this JSON Pointer.
    pub fn error(&self, pointer: &str) -> Option<&str> {
        let broken = self.errors.iter().find(|error| error.pointer == pointer);
        broken.map(|error| error.detail.as_str())
    }
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
