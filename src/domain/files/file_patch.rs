//! Changes of a file's attributes by `PATCH /files/{id}` (JSON Merge Patch, RFC 7396), and the rules that they have to keep.

use serde_json::{Map, Value};

use super::attribute_rules::{self, Problems};
use super::{File, FileName};
use crate::domain::{FieldError, Result};

/// Change of one attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Change<T> {
    /// Returns the attribute's value after the change.
    pub fn apply(self, present: Option<T>) -> Option<T> {
        match self {
            Self::Keep => present,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    fn change(self, attribute: &mut Option<T>) {
        *attribute = self.apply(attribute.take());
    }

    fn map<U>(self, convert: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(convert(value)),
        }
    }

    fn of(value: Option<T>) -> Self {
        value.map_or(Self::Clear, Self::Set)
    }
}

/// Valid changes of a file; made by [`FilePatch::from_json`] alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilePatch {
    /// A title can't be cleared; `None` keeps it.
    pub title: Option<String>,
    pub description: Change<String>,
    pub file_name: Change<FileName>,
    /// `None` keeps the tags; no tags clear them.
    pub tags: Option<Vec<String>>,
    pub folder: Change<String>,
    pub related_post_id: Change<String>,
    pub related_category_id: Change<String>,
}

impl FilePatch {
    /// Checks the members of a patch and reports every broken rule at once. Absent members keep an attribute; `null`, an empty
    /// text and, for tags, an empty array clear it. Unknown members are ignored.
    pub fn from_json(members: &Map<String, Value>) -> Result<Self> {
        let mut members = Members { members, problems: Problems::default() };
        let patch = Self {
            title: members.title(),
            description: members.text("/description", attribute_rules::description),
            file_name: members.text("/file_name", |raw| {
                Ok(Some(raw).filter(|raw| !raw.trim().is_empty()).map(FileName::clean))
            }),
            tags: members.tags(),
            folder: members.text("/folder", attribute_rules::folder),
            related_post_id: members.reference("/related_post_id"),
            related_category_id: members.reference("/related_category_id"),
        };
        members.problems.finish().map(|()| patch)
    }

    /// Makes the changes.
    pub fn apply(&self, file: &mut File) {
        let Self { title, description, file_name, tags, folder, related_post_id, related_category_id } =
            self.clone();
        let about = &mut file.attributes;
        if let Some(title) = title {
            file.title = title;
        }
        if let Some(tags) = tags {
            about.tags = tags;
        }
        description.change(&mut file.description);
        file_name.map(String::from).change(&mut about.file_name);
        folder.change(&mut about.folder);
        related_post_id.change(&mut about.related_post_id);
        related_category_id.change(&mut about.related_category_id);
    }

    /// Tells whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Members of a patch, and what is wrong with them.
struct Members<'a> {
    members: &'a Map<String, Value>,
    problems: Problems,
}

impl Members<'_> {
    fn title(&mut self) -> Option<String> {
        let value = self.members.get("title")?;
        // It can't be cleared, so that `null` is as wrong as an empty title.
        let title = if value.is_null() { Some("") } else { value.as_str() };
        let title = title.ok_or_else(|| not_a_string("/title")).and_then(attribute_rules::title);
        Some(self.problems.check(title))
    }

    fn text<T>(
        &mut self,
        pointer: &'static str,
        check: impl FnOnce(&str) -> Result<Option<T>, FieldError>,
    ) -> Change<T> {
        match self.members.get(&pointer[1..]) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(Value::String(text)) => Change::of(self.problems.check(check(text))),
            Some(_) => Change::of(self.problems.check(Err(not_a_string(pointer)))),
        }
    }

    fn reference(&mut self, pointer: &'static str) -> Change<String> {
        self.text(pointer, |raw| attribute_rules::reference(pointer, raw))
    }

    fn tags(&mut self) -> Option<Vec<String>> {
        let value = self.members.get("tags")?;
        let tags = if value.is_null() { Ok(Vec::new()) } else { attribute_rules::tags_of_json(value) };
        Some(self.problems.check(tags))
    }
}

fn not_a_string(pointer: &'static str) -> FieldError {
    FieldError { pointer, detail: format!("{} must be a string", &pointer[1..]) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::Attributes;

    fn patch(body: &Value) -> Result<FilePatch> {
        FilePatch::from_json(body.as_object().unwrap())
    }

    fn set(text: &str) -> Change<String> {
        Change::Set(text.to_owned())
    }

    #[test]
    fn members_that_are_there_are_set() {
        let body = json!({
            "title": " T ", "description": "d", "file_name": "../e\u{301}.txt", "tags": ["a", " a ", "b"],
            "folder": "/x/", "related_post_id": "7", "related_category_id": "8", "status": {"unknown": []},
        });
        let expected = FilePatch {
            title: Some("T".to_owned()),
            description: set("d"),
            file_name: Change::Set(FileName::clean("é.txt")),
            tags: Some(["a", "b"].map(str::to_owned).into()),
            folder: set("x"),
            related_post_id: set("7"),
            related_category_id: set("8"),
        };
        assert_eq!(patch(&body).unwrap(), expected);
    }

    #[test]
    fn a_patch_changes_what_it_names_alone() {
        let before: File = serde_json::from_value(json!({
            "id": 7, "title": "T", "description": "d", "status": "completed", "created_at": "2026-01-03T00:00:00Z",
            "updated_at": "2026-01-03T00:00:00Z", "content_type": "text/plain", "attempt": 1, "origin": "uploaded",
            "tags": ["a"], "folder": "f", "metadata": {}, "view_count": 1, "download_count": 2,
        }))
        .unwrap();
        let mut file = before.clone();
        patch(&json!({"size": 7})).unwrap().apply(&mut file);
        assert_eq!(file, before);
        patch(&json!({"title": "U", "folder": null, "file_name": "n", "tags": []})).unwrap().apply(&mut file);
        let attributes = Attributes {
            file_name: Some("n".to_owned()),
            tags: Vec::new(),
            folder: None,
            ..before.attributes.clone()
        };
        assert_eq!(file, File { title: "U".to_owned(), attributes, ..before });
    }

    #[test]
    fn absent_members_keep_what_is_there() {
        for body in [json!({}), json!({"size": 7, "uploaded_by": null})] {
            assert!(patch(&body).unwrap().is_empty());
        }
        assert_eq!(Change::Keep.apply(Some(1)), Some(1));
    }

    #[test]
    fn null_and_empty_texts_clear() {
        let cleared = FilePatch {
            title: None,
            description: Change::Clear,
            file_name: Change::Clear,
            tags: Some(vec![]),
            folder: Change::Clear,
            related_post_id: Change::Clear,
            related_category_id: Change::Clear,
        };
        for (text, tags) in
            [(json!(null), json!(null)), (json!(""), json!([])), (json!(""), json!(["", " "]))]
        {
            let body = json!({
                "description": text, "file_name": text, "tags": tags, "folder": text,
                "related_post_id": text, "related_category_id": text,
            });
            assert_eq!(patch(&body).unwrap(), cleared, "{body}");
        }
        assert_eq!(Change::Clear.apply(Some(1)), None);
        assert_eq!(Change::Set(2).apply(Some(1)), Some(2));
    }

    #[test]
    fn a_title_can_not_be_cleared() {
        for title in [json!(null), json!(""), json!(" ")] {
            let error = patch(&json!({ "title": title })).unwrap_err();
            assert_eq!(error.fields[0].pointer, "/title");
            assert!(error.detail.contains("required"), "{}", error.detail);
        }
    }

    #[test]
    fn every_broken_rule_is_reported_at_once() {
        let all = [
            "/title",
            "/description",
            "/file_name",
            "/tags",
            "/folder",
            "/related_post_id",
            "/related_category_id",
        ];
        for value in [json!(7), json!(true), json!({}), json!([1])] {
            let body: Map<_, _> =
                all.into_iter().map(|pointer| (pointer[1..].to_owned(), value.clone())).collect();
            let error = FilePatch::from_json(&body).unwrap_err();
            assert_eq!(error.fields.iter().map(|field| field.pointer).collect::<Vec<_>>(), all, "{value}");
        }
        let long = "a".repeat(256);
        for (member, value) in [
            ("title", json!(long)),
            ("title", json!("a\nb")),
            ("description", json!("\0")),
            ("tags", json!("a, b")),
            ("tags", json!([["a"]])),
            ("tags", json!(["a", null])),
            ("tags", json!(["a,b"])),
            ("tags", json!([long])),
            ("folder", json!("../x")),
            ("related_post_id", json!(long)),
            ("related_category_id", json!("a\u{7f}")),
        ] {
            let error = patch(&json!({ member: value })).unwrap_err();
            assert_eq!(error.fields.iter().map(|field| &field.pointer[1..]).collect::<Vec<_>>(), [member]);
        }
    }

    proptest! {
        #[test]
        fn a_patch_that_was_applied_changes_nothing_more(
            title in "[a-z]{1,9}", text in "[a-zé/. ]{0,9}", tags in proptest::collection::vec("[a-c ]{0,2}", 0..5),
        ) {
            let body = json!({ "title": title, "description": text, "file_name": text, "tags": tags, "folder": text });
            if let Ok(first) = patch(&body) {
                let again = json!({
                    "title": first.title,
                    "description": first.description.clone().apply(None),
                    "file_name": first.file_name.clone().apply(None),
                    "tags": first.tags,
                    "folder": first.folder.clone().apply(None),
                });
                prop_assert_eq!(patch(&again).unwrap(), first);
            }
        }
    }
}
