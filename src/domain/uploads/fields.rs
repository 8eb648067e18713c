//! Fields that come with an uploaded file, in a form or in `Upload-Metadata`, and the rules that they have to keep.

use std::collections::{BTreeMap, BTreeSet};

use super::{Sha256Digest, TusMetadata};
use crate::domain::files::attribute_rules::{self, Problems};
use crate::domain::{Attributes, FieldError, FileName, MediaType, Result};

/// Field that a client may send with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UploadField {
    Title,
    Description,
    FileName,
    /// Media type that the client takes the file for.
    ClaimedType,
    Tags,
    Folder,
    RelatedPostId,
    RelatedCategoryId,
    UploadedBy,
    UploadedByName,
    Sha256,
}

impl UploadField {
    /// All fields.
    pub const ALL: [Self; 11] = [
        Self::Title,
        Self::Description,
        Self::FileName,
        Self::ClaimedType,
        Self::Tags,
        Self::Folder,
        Self::RelatedPostId,
        Self::RelatedCategoryId,
        Self::UploadedBy,
        Self::UploadedByName,
        Self::Sha256,
    ];

    /// Returns the JSON Pointer that errors name it by: a slash and its name in forms and metadata.
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::Title => "/title",
            Self::Description => "/description",
            Self::FileName => "/file_name",
            Self::ClaimedType => "/filetype",
            Self::Tags => "/tags",
            Self::Folder => "/folder",
            Self::RelatedPostId => "/related_post_id",
            Self::RelatedCategoryId => "/related_category_id",
            Self::UploadedBy => "/uploaded_by",
            Self::UploadedByName => "/uploaded_by_name",
            Self::Sha256 => "/sha256",
        }
    }

    /// Returns the name in forms and metadata.
    pub fn name(self) -> &'static str {
        &self.pointer()[1..]
    }

    /// Returns the other names that clients of tus use.
    const fn tus_aliases(self) -> &'static [&'static str] {
        match self {
            Self::FileName => &["filename", "name"],
            Self::ClaimedType => &["type"],
            Self::Title
            | Self::Description
            | Self::Tags
            | Self::Folder
            | Self::RelatedPostId
            | Self::RelatedCategoryId
            | Self::UploadedBy
            | Self::UploadedByName
            | Self::Sha256 => &[],
        }
    }

    /// Parses a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// Fields as a client gave them, not checked yet. An empty one counts as absent: forms send every field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenFields {
    texts: BTreeMap<UploadField, String>,
    tags: Vec<String>,
    repeated: BTreeSet<UploadField>,
}

/// Valid fields of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadFields {
    pub title: String,
    pub description: Option<String>,
    pub file_name: FileName,
    pub claimed_type: Option<MediaType>,
    pub tags: Vec<String>,
    pub folder: Option<String>,
    pub related_post_id: Option<String>,
    pub related_category_id: Option<String>,
    pub uploaded_by: Option<String>,
    pub uploaded_by_name: Option<String>,
    pub sha256: Option<Sha256Digest>,
}

impl UploadFields {
    /// Sets what a file takes from the fields.
    pub fn describe(&self, title: &mut String, description: &mut Option<String>, about: &mut Attributes) {
        title.clone_from(&self.title);
        description.clone_from(&self.description);
        about.file_name = Some(self.file_name.as_str().to_owned());
        about.claimed_type = self.claimed_type.as_ref().map(|claimed| claimed.as_str().to_owned());
        about.uploaded_by.clone_from(&self.uploaded_by);
        about.uploaded_by_name.clone_from(&self.uploaded_by_name);
        about.folder.clone_from(&self.folder);
        about.tags.clone_from(&self.tags);
        about.related_post_id.clone_from(&self.related_post_id);
        about.related_category_id.clone_from(&self.related_category_id);
    }
}

impl GivenFields {
    /// Adds a field of a form. Tags may come several times; each value is one tag, a list with commas, or a JSON array.
    pub fn add(&mut self, field: UploadField, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        if field == UploadField::Tags {
            self.tags.push(text.to_owned());
        } else if self.texts.insert(field, text.to_owned()).is_some() {
            self.repeated.insert(field);
        }
    }

    /// Returns the text as it was given; several tags are a list with commas.
    pub fn text(&self, field: UploadField) -> String {
        if field == UploadField::Tags {
            return self.tags.join(", ");
        }
        self.texts.get(&field).cloned().unwrap_or_default()
    }

    /// Takes the fields of an upload by tus. Keys that mean nothing here are ignored.
    pub fn from_metadata(metadata: &TusMetadata) -> Self {
        let mut fields = Self::default();
        for field in UploadField::ALL {
            let names = std::iter::once(field.name()).chain(field.tus_aliases().iter().copied());
            let mut texts =
                names.filter_map(|name| metadata.get(name)).filter(|text| !text.trim().is_empty());
            if let Some(text) = texts.next() {
                fields.add(field, text);
            }
        }
        fields
    }

    /// Checks the fields for one file and reports every broken rule at once. `file_name` and `claimed_type` are what its part of
    /// a form says; fields have precedence. A file without a title has its name as title.
    pub fn check(&self, file_name: Option<&str>, claimed_type: Option<&str>) -> Result<UploadFields> {
        let mut problems = Problems::default();
        for field in &self.repeated {
            let detail = format!("{} may come once", field.name());
            problems.add(FieldError { pointer: field.pointer(), detail });
        }
        let text = |field| self.texts.get(&field).map(String::as_str);
        let file_name = FileName::clean(text(UploadField::FileName).or(file_name).unwrap_or_default());
        let title = match text(UploadField::Title) {
            Some(title) => problems.check(attribute_rules::title(title)),
            None => file_name.as_str().to_owned(),
        };
        let description = text(UploadField::Description).map(attribute_rules::description);
        let claimed_type = text(UploadField::ClaimedType).or(claimed_type).and_then(parse_claimed_type);
        let sha256 = text(UploadField::Sha256).map(parse_sha256);
        let folder = text(UploadField::Folder).map(attribute_rules::folder);
        let mut reference = |field: UploadField| {
            let checked = text(field).map(|text| attribute_rules::reference(field.pointer(), text));
            problems.check(checked.unwrap_or(Ok(None)))
        };
        let related_post_id = reference(UploadField::RelatedPostId);
        let related_category_id = reference(UploadField::RelatedCategoryId);
        let uploaded_by = reference(UploadField::UploadedBy);
        let uploaded_by_name = reference(UploadField::UploadedByName);
        let fields = UploadFields {
            title,
            description: problems.check(description.unwrap_or(Ok(None))),
            file_name,
            claimed_type: problems.check(claimed_type.transpose()),
            tags: problems.check(check_tags(&self.tags)),
            folder: problems.check(folder.unwrap_or(Ok(None))),
            related_post_id,
            related_category_id,
            uploaded_by,
            uploaded_by_name,
            sha256: problems.check(sha256.transpose()),
        };
        problems.finish().map(|()| fields)
    }
}

/// Reads what a client takes the file for; clients that don't know send an empty text.
fn parse_claimed_type(text: &str) -> Option<Result<MediaType, FieldError>> {
    let text = Some(text.trim()).filter(|text| !text.is_empty())?;
    let wrong = |why| FieldError {
        pointer: "/filetype",
        detail: format!("the file's media type is not valid: {why}"),
    };
    Some(text.parse().map_err(wrong))
}

fn parse_sha256(text: &str) -> Result<Sha256Digest, FieldError> {
    let wrong = |why| FieldError { pointer: "/sha256", detail: format!("sha256 is not valid: {why}") };
    text.trim().parse().map_err(wrong)
}

fn check_tags(values: &[String]) -> Result<Vec<String>, FieldError> {
    let mut tags = Vec::new();
    for value in values {
        // A tag may begin with a bracket: what is no JSON is a list with commas.
        match serde_json::from_str(value.trim()) {
            Ok(items @ serde_json::Value::Array(_)) => tags.extend(attribute_rules::tags_of_json(&items)?),
            _ => tags.extend(value.split(',').map(str::to_owned)),
        }
    }
    attribute_rules::tags(tags.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "E3B0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn given(fields: &[(UploadField, &str)]) -> GivenFields {
        let mut given = GivenFields::default();
        for (field, text) in fields {
            given.add(*field, text);
        }
        given
    }

    fn metadata(pairs: &[(&str, &str)]) -> GivenFields {
        let pairs: Vec<String> =
            pairs.iter().map(|(key, text)| format!("{key} {}", BASE64_STANDARD.encode(text))).collect();
        GivenFields::from_metadata(&TusMetadata::parse(&pairs.join(",")).unwrap())
    }

    #[test]
    fn every_field_has_a_name_of_its_own() {
        for field in UploadField::ALL {
            assert_eq!(UploadField::from_name(field.name()), Some(field));
        }
        assert_eq!(UploadField::from_name("Title"), None);
    }

    #[test]
    fn a_file_without_fields_is_called_by_its_name() {
        let fields = given(&[]).check(Some("../e\u{301}.txt"), Some("Text/Plain; charset=utf-8")).unwrap();
        let expected = UploadFields {
            title: "é.txt".to_owned(),
            description: None,
            file_name: FileName::clean("é.txt"),
            claimed_type: Some("text/plain".parse().unwrap()),
            tags: vec![],
            folder: None,
            related_post_id: None,
            related_category_id: None,
            uploaded_by: None,
            uploaded_by_name: None,
            sha256: None,
        };
        assert_eq!(fields, expected);
        let nameless = given(&[]).check(None, None).unwrap();
        assert_eq!((nameless.title.as_str(), nameless.claimed_type), ("file", None));
    }

    #[test]
    fn every_field_of_a_form_is_taken() {
        let fields = given(&[
            (UploadField::Title, " Title "),
            (UploadField::Description, " as it is "),
            (UploadField::FileName, "own.txt"),
            (UploadField::ClaimedType, "text/csv"),
            (UploadField::Tags, "a"),
            (UploadField::Tags, "b, c,,a"),
            (UploadField::Tags, r#"["d", "b"]"#),
            (UploadField::Tags, "[wip]"),
            (UploadField::Folder, "/x/y/"),
            (UploadField::RelatedPostId, " 7 "),
            (UploadField::RelatedCategoryId, "c8"),
            (UploadField::UploadedBy, "u9"),
            (UploadField::UploadedByName, "Ann"),
            (UploadField::Sha256, DIGEST),
        ]);
        let expected = UploadFields {
            title: "Title".to_owned(),
            description: Some(" as it is ".to_owned()),
            file_name: FileName::clean("own.txt"),
            claimed_type: Some("text/csv".parse().unwrap()),
            tags: ["a", "b", "c", "d", "[wip]"].map(str::to_owned).into(),
            folder: Some("x/y".to_owned()),
            related_post_id: Some("7".to_owned()),
            related_category_id: Some("c8".to_owned()),
            uploaded_by: Some("u9".to_owned()),
            uploaded_by_name: Some("Ann".to_owned()),
            sha256: Some(DIGEST.parse().unwrap()),
        };
        assert_eq!(fields.check(Some("part.txt"), Some("text/plain")).unwrap(), expected);
    }

    #[test]
    fn metadata_has_the_same_fields_and_the_names_that_clients_use() {
        let fields = metadata(&[
            ("filename", "a.csv"),
            ("filetype", "text/csv"),
            ("tags", r#"["x","y"]"#),
            ("relativePath", "null"),
            ("folder", "f"),
            ("sha256", DIGEST),
        ]);
        let fields = fields.check(None, None).unwrap();
        assert_eq!((fields.title.as_str(), fields.file_name.as_str()), ("a.csv", "a.csv"));
        assert_eq!(fields.claimed_type, Some("text/csv".parse().unwrap()));
        assert_eq!((fields.tags.join(" "), fields.folder.as_deref()), ("x y".to_owned(), Some("f")));
        // Several names of one field are no contradiction.
        let pairs =
            [("name", "n.txt"), ("filename", "f.txt"), ("type", "text/html"), ("filetype", "text/plain")];
        let fields = metadata(&pairs).check(None, None).unwrap();
        assert_eq!(fields.file_name.as_str(), "f.txt");
        assert_eq!(fields.claimed_type.unwrap().as_str(), "text/plain");
        let fields =
            metadata(&[("name", "n.txt"), ("type", "text/html"), ("filetype", "")]).check(None, None);
        assert_eq!(fields.unwrap().claimed_type.unwrap().as_str(), "text/html");
    }

    #[test]
    fn empty_fields_count_as_absent() {
        let mut fields = GivenFields::default();
        for field in UploadField::ALL {
            fields.add(field, "");
            fields.add(field, " \r\n");
        }
        assert_eq!(fields, GivenFields::default());
        assert_eq!(fields.check(Some("a"), Some("")).unwrap(), given(&[]).check(Some("a"), None).unwrap());
    }

    #[test]
    fn every_broken_rule_is_reported_at_once() {
        let long = "a".repeat(256);
        let mut fields = given(&UploadField::ALL.map(|field| (field, "a\0b")));
        fields.add(UploadField::Folder, "again");
        let error = fields.check(None, Some("text/plain")).unwrap_err();
        let pointers: BTreeSet<_> = error.fields.iter().map(|field| field.pointer).collect();
        // Any name can be cleaned.
        let expected = UploadField::ALL.into_iter().filter(|field| *field != UploadField::FileName);
        assert_eq!(pointers, expected.map(UploadField::pointer).collect());

        for (field, text, reason) in [
            (UploadField::Title, long.as_str(), "256 characters"),
            (UploadField::Title, "\u{200b}", "visible"),
            (UploadField::Description, &"a".repeat(65_537), "65537 bytes"),
            (UploadField::ClaimedType, "text", "type/subtype"),
            (UploadField::Tags, &"a".repeat(65), "65 characters"),
            (UploadField::Tags, "[1]", "strings"),
            (UploadField::Folder, "a/../b", "`..`"),
            (UploadField::RelatedPostId, &long, "256 characters"),
            (UploadField::RelatedCategoryId, &long, "256 characters"),
            (UploadField::UploadedBy, &long, "256 characters"),
            (UploadField::UploadedByName, &long, "256 characters"),
            (UploadField::Sha256, &long, "64 hexadecimal"),
        ] {
            let error = given(&[(field, text)]).check(None, None).unwrap_err();
            assert_eq!(error.fields.len(), 1, "{:?}", error.fields);
            assert_eq!(error.fields[0].pointer, field.pointer());
            assert!(error.detail.contains(reason), "{field:?}: {}", error.detail);
        }
    }

    #[test]
    fn a_field_may_come_once() {
        let fields = given(&[(UploadField::Title, "a"), (UploadField::Title, "a")]);
        let error = fields.check(None, None).unwrap_err();
        assert_eq!(error.detail, "title may come once");
    }

    proptest! {
        #[test]
        fn any_texts_are_valid_or_refused_with_a_reason(
            texts in proptest::collection::vec((proptest::sample::select(UploadField::ALL.to_vec()), any::<String>()), 0..12),
            name: Option<String>,
            claimed_type: Option<String>,
        ) {
            let mut fields = GivenFields::default();
            for (field, text) in &texts {
                fields.add(*field, text);
            }
            match fields.check(name.as_deref(), claimed_type.as_deref()) {
                Ok(valid) => {
                    prop_assert!((1..=255).contains(&valid.title.chars().count()));
                    prop_assert!(valid.tags.len() <= attribute_rules::TAGS_MAX);
                    prop_assert!(!valid.title.contains(char::is_control));
                }
                Err(error) => prop_assert!(!error.fields.is_empty() && !error.detail.is_empty()),
            }
        }
    }
}
