//! Filters of the list by what is known of a file besides its status and title.

use super::attribute_rules;
use super::{FileOrigin, FileType};
use crate::domain::pagination::invalid_query;
use crate::domain::{FieldError, Result};

/// Limits a list to files that have all of these; `None` limits nothing. Made by [`Filters::new`] alone, which validates them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filters {
    pub file_type: Option<FileType>,
    pub origin: Option<FileOrigin>,
    /// Tag that it has.
    pub tag: Option<String>,
    /// Folder that it lies in; those below it don't count.
    pub folder: Option<String>,
    /// Id of its owner (`uploaded_by`).
    pub owner: Option<String>,
}

/// Filters as a request gives them.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenFilters<'a> {
    pub file_type: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub tag: Option<&'a str>,
    pub folder: Option<&'a str>,
    pub owner: Option<&'a str>,
}

impl Filters {
    /// Parses the parameters. Empty ones limit nothing; texts get the form that they have in records.
    pub fn new(given: GivenFilters<'_>) -> Result<Self> {
        Ok(Self {
            file_type: named(
                "type",
                given.file_type,
                FileType::from_name,
                FileType::ALL.map(FileType::name),
            )?,
            origin: named(
                "origin",
                given.origin,
                FileOrigin::from_name,
                FileOrigin::ALL.map(FileOrigin::name),
            )?,
            tag: text("tag", given.tag, |tag| Ok(attribute_rules::tags([tag])?.pop()))?,
            folder: text("folder", given.folder, attribute_rules::folder)?,
            owner: text("owner", given.owner, |owner| attribute_rules::reference("/owner", owner))?,
        })
    }

    /// Tells whether they limit nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the parameters that give these filters.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("type", self.file_type.map(FileType::name)),
            ("origin", self.origin.map(FileOrigin::name)),
            ("tag", self.tag.as_deref()),
            ("folder", self.folder.as_deref()),
            ("owner", self.owner.as_deref()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

fn named<T, const N: usize>(
    name: &str,
    value: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    names: [&str; N],
) -> Result<Option<T>> {
    let parse = |text| {
        parse(text).ok_or_else(|| invalid_query(format!("{name} must be one of: {}", names.join(", "))))
    };
    value.filter(|text| !text.is_empty()).map(parse).transpose()
}

fn text(
    name: &str,
    value: Option<&str>,
    check: impl Fn(&str) -> Result<Option<String>, FieldError>,
) -> Result<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    check(value)
        .map_err(|FieldError { detail, .. }| invalid_query(format!("{name} can't match a file: {detail}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_have_the_form_of_records_and_survive_the_round_trip() {
        let given = GivenFilters {
            file_type: Some("image"),
            origin: Some("uploaded"),
            tag: Some(" e\u{301} "),
            folder: Some("/a / b/"),
            owner: Some(" 7 "),
        };
        let filters = Filters::new(given).unwrap();
        let parameters: Vec<_> = filters.parameters().collect();
        assert_eq!(
            parameters,
            [("type", "image"), ("origin", "uploaded"), ("tag", "é"), ("folder", "a/b"), ("owner", "7")]
        );
    }

    #[test]
    fn empty_filters_limit_nothing() {
        let empty = Some("");
        let given =
            GivenFilters { file_type: empty, origin: empty, tag: Some(" "), folder: Some("/"), owner: empty };
        let filters = Filters::new(given).unwrap();
        assert!(filters.is_empty() && filters.parameters().next().is_none());
        assert!(Filters::new(GivenFilters::default()).unwrap().is_empty());
    }

    #[test]
    fn filters_that_can_not_match_are_refused() {
        let long = "a".repeat(256);
        let given = GivenFilters::default();
        for wrong in [
            GivenFilters { file_type: Some("picture"), ..given },
            GivenFilters { file_type: Some("Image"), ..given },
            GivenFilters { origin: Some("made"), ..given },
            GivenFilters { tag: Some("a,b"), ..given },
            GivenFilters { tag: Some("a\0"), ..given },
            GivenFilters { folder: Some("a/../b"), ..given },
            GivenFilters { folder: Some("a\nb"), ..given },
            GivenFilters { owner: Some(&long), ..given },
            GivenFilters { owner: Some("a\0"), ..given },
        ] {
            assert!(Filters::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
