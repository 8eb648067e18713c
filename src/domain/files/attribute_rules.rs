//! Rules for what people say of a file: tags, folder, related records, owner. One form for what looks the same.

use serde_json::Value;

use super::new_file::{description_problem, title_problem};
use crate::domain::{Error, FieldError, Result, text};

/// Maximum number of tags.
pub const TAGS_MAX: usize = 32;
/// Maximum length of a tag, in characters.
pub const TAG_MAX_CHARS: usize = 64;
/// Maximum length of a folder, in characters.
pub const FOLDER_MAX_CHARS: usize = 255;
/// Maximum length of an id or name from another system, in characters.
pub const REFERENCE_MAX_CHARS: usize = 255;

/// Broken rules of one request, collected so that all are reported at once.
#[derive(Debug, Default)]
pub(in crate::domain) struct Problems(Vec<FieldError>);

impl Problems {
    /// Returns the value, or keeps the problem and returns an empty one.
    pub fn check<T: Default>(&mut self, checked: Result<T, FieldError>) -> T {
        checked.unwrap_or_else(|problem| {
            self.0.push(problem);
            T::default()
        })
    }

    /// Adds a problem.
    pub fn add(&mut self, problem: FieldError) {
        self.0.push(problem);
    }

    /// Fails with all problems, if there are any.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::invalid(self.0)) }
    }
}

/// Trims and normalizes a title.
pub(in crate::domain) fn title(raw: &str) -> Result<String, FieldError> {
    let title = text::trimmed(raw);
    title_problem(&title).map_or_else(|| Ok(title.into_owned()), Err)
}

/// Checks a description, which stays as it is; an empty one is none.
pub(in crate::domain) fn description(raw: &str) -> Result<Option<String>, FieldError> {
    let description = Some(raw).filter(|raw| !raw.is_empty());
    description_problem(description).map_or_else(|| Ok(description.map(str::to_owned)), Err)
}

/// Trims and normalizes tags, and removes empty and repeated ones.
pub(in crate::domain) fn tags<'a>(raw: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, FieldError> {
    let problem = |detail| Err(FieldError { pointer: "/tags", detail });
    let mut tags: Vec<String> = Vec::new();
    for tag in raw {
        let tag = text::trimmed(tag);
        let chars = tag.chars().count();
        if tag.is_empty() || tags.iter().any(|other| *other == tag) {
            continue;
        }
        if chars > TAG_MAX_CHARS {
            return problem(format!("a tag has {chars} characters; at most {TAG_MAX_CHARS} are allowed"));
        }
        if tag.contains(char::is_control) {
            return problem("a tag must not contain control characters".to_owned());
        }
        if tag.contains(',') {
            return problem("a tag must not contain a comma".to_owned());
        }
        if !text::has_visible(&tag) {
            return problem("a tag must have a visible character".to_owned());
        }
        if tags.len() == TAGS_MAX {
            return problem(format!("there are more than {TAGS_MAX} tags"));
        }
        tags.push(tag.into_owned());
    }
    Ok(tags)
}

/// Reads tags from a JSON array.
pub(in crate::domain) fn tags_of_json(value: &Value) -> Result<Vec<String>, FieldError> {
    let items =
        value.as_array().and_then(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let wrong = || FieldError { pointer: "/tags", detail: "tags must be an array of strings".to_owned() };
    items.ok_or_else(wrong).and_then(tags)
}

/// Normalizes a folder: `/Photos /2026/` becomes `Photos/2026`. None is left of the topmost folder.
pub(in crate::domain) fn folder(raw: &str) -> Result<Option<String>, FieldError> {
    let problem = |detail: String| Err(FieldError { pointer: "/folder", detail });
    let raw = text::trimmed(raw);
    let path = raw.strip_prefix('/').unwrap_or(&raw);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(None);
    }
    let segments: Vec<_> = path.split('/').map(text::trimmed).collect();
    for segment in &segments {
        if matches!(&**segment, "" | "." | "..") {
            return problem("folder must not have empty parts, `.` or `..`".to_owned());
        }
        if segment.contains(char::is_control) {
            return problem("folder must not contain control characters".to_owned());
        }
        if segment.contains('\\') {
            return problem("the parts of a folder are separated by `/`, not by `\\`".to_owned());
        }
        if !text::has_visible(segment) {
            return problem("each part of folder must have a visible character".to_owned());
        }
    }
    let folder = segments.join("/");
    let chars = folder.chars().count();
    if chars > FOLDER_MAX_CHARS {
        return problem(format!("folder has {chars} characters; at most {FOLDER_MAX_CHARS} are allowed"));
    }
    Ok(Some(folder))
}

/// Trims an id or name that another system has given; an empty one is none. `pointer` names the member.
pub(in crate::domain) fn reference(pointer: &'static str, raw: &str) -> Result<Option<String>, FieldError> {
    let name = &pointer[1..];
    let reference = raw.trim();
    let chars = reference.chars().count();
    let detail = if chars > REFERENCE_MAX_CHARS {
        format!("{name} has {chars} characters; at most {REFERENCE_MAX_CHARS} are allowed")
    } else if reference.contains(char::is_control) {
        format!("{name} must not contain control characters")
    } else {
        return Ok(Some(reference.to_owned()).filter(|reference| !reference.is_empty()));
    };
    Err(FieldError { pointer, detail })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_are_trimmed_normalized_and_unique() {
        let raw = [" a ", "e\u{301}", "é", "", "\t", "A", "a", "two words", "\u{feff}b"];
        assert_eq!(tags(raw).unwrap(), ["a", "é", "A", "two words", "b"]);
        assert!(tags([]).unwrap().is_empty());
        let longest = "😀".repeat(TAG_MAX_CHARS);
        assert_eq!(tags([longest.as_str()]).unwrap(), [longest.as_str()]);
        let many: Vec<String> = (0..TAGS_MAX).map(|tag| tag.to_string()).collect();
        assert_eq!(tags(many.iter().chain(&many).map(String::as_str)).unwrap(), many);
    }

    #[test]
    fn a_tag_that_breaks_a_rule_is_refused() {
        let many: Vec<String> = (0..=TAGS_MAX).map(|tag| tag.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let long = "a".repeat(TAG_MAX_CHARS + 1);
        for (raw, reason) in [
            (vec![long.as_str()], "65 characters"),
            (vec!["ok", "a\nb"], "control"),
            (vec!["a\0"], "control"),
            (vec!["a,b"], "comma"),
            (vec!["\u{200b}"], "visible"),
            (many, "more than 32"),
        ] {
            let problem = tags(raw.clone()).unwrap_err();
            assert_eq!(problem.pointer, "/tags");
            assert!(problem.detail.contains(reason), "{raw:?}: {}", problem.detail);
        }
    }

    #[test]
    fn a_folder_has_one_form() {
        for (raw, kept) in [
            ("", None),
            ("/", None),
            ("//", None),
            (" \n", None),
            ("a", Some("a")),
            ("/a/b/", Some("a/b")),
            (" Photos / 2026 ", Some("Photos/2026")),
            ("e\u{301}/日本", Some("é/日本")),
            (".git", Some(".git")),
            ("...", Some("...")),
            ("a b/c..d", Some("a b/c..d")),
        ] {
            assert_eq!(folder(raw).unwrap().as_deref(), kept, "{raw:?}");
        }
        let longest = "é".repeat(FOLDER_MAX_CHARS);
        assert_eq!(folder(&format!("/{longest}/")).unwrap(), Some(longest));
    }

    #[test]
    fn a_folder_that_breaks_a_rule_is_refused() {
        let long = "a".repeat(FOLDER_MAX_CHARS + 1);
        for (raw, reason) in [
            ("a//b", "empty"),
            ("///", "empty"),
            ("a/ /b", "empty"),
            ("..", "`..`"),
            ("../a", "`..`"),
            ("a/./b", "`.`"),
            ("a/ .. /b", "`..`"),
            ("a\0b", "control"),
            ("a\nb", "control"),
            (r"a\b", "separated by"),
            ("a/\u{200b}", "visible"),
            (&long, "256 characters"),
        ] {
            let problem = folder(raw).unwrap_err();
            assert_eq!(problem.pointer, "/folder");
            assert!(problem.detail.contains(reason), "{raw:?}: {}", problem.detail);
        }
    }

    #[test]
    fn a_reference_is_any_text_without_control_characters() {
        for (raw, kept) in [("", None), (" \t", None), (" 7 ", Some("7")), ("user/é|x", Some("user/é|x"))] {
            assert_eq!(reference("/related_post_id", raw).unwrap().as_deref(), kept);
        }
        assert!(reference("/uploaded_by", &"é".repeat(REFERENCE_MAX_CHARS)).is_ok());
        for raw in ["a\0b".to_owned(), "a\nb".to_owned(), "a".repeat(REFERENCE_MAX_CHARS + 1)] {
            let problem = reference("/uploaded_by", &raw).unwrap_err();
            assert_eq!(problem.pointer, "/uploaded_by");
            assert!(problem.detail.starts_with("uploaded_by "), "{}", problem.detail);
        }
    }

    proptest! {
        #[test]
        fn what_was_kept_is_kept_again(
            raw in "[a-cé/. \t\u{301}\u{200b}\u{3000}]{0,40}",
            words in proptest::collection::vec("[a-bé \u{301}]{0,3}", 0..40),
        ) {
            if let Ok(Some(kept)) = folder(&raw) {
                prop_assert_eq!(folder(&kept).unwrap(), Some(kept));
            }
            if let Ok(kept) = tags(words.iter().map(String::as_str)) {
                prop_assert_eq!(tags(kept.iter().map(String::as_str)).unwrap(), kept);
            }
        }
    }
}
