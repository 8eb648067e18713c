//! Names of downloads, made from the title, the file's id and its extension, for any file system.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::file_name::is_device_name;
use crate::domain::{FileId, text};

/// Maximum length of a name. Most file systems allow 255 bytes, of which browsers need some for ` (1)` and `.crdownload`.
const MAX_BYTES: usize = 240;

/// Name of a download in the two forms of `Content-Disposition`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadName {
    /// Value of `filename*`, which browsers use.
    pub full: String,
    /// Value of `filename`, which other clients use: ASCII without anything that must be escaped. It contains the id where it
    /// differs from the title, so that two titles don't become one name.
    pub ascii: String,
}

impl DownloadName {
    /// Makes the name of a file with this title.
    pub fn new(title: &str, id: FileId, extension: &str) -> Self {
        let stem = stem(title);
        let max_stem = max_stem(extension);
        let without_title = || format!("file-{id}");
        let full = full_stem(&stem, id, max_stem);
        let ascii_extension = ascii(extension);
        let ascii = ascii(&stem);
        let ascii = match ascii.as_str() {
            ascii if !ascii.bytes().any(|b| b.is_ascii_alphanumeric()) => without_title(),
            ascii if ascii == title && ascii.len() <= max_stem => ascii.to_owned(),
            ascii => with_id(ascii, id, max_stem),
        };
        let dot = if extension.is_empty() { "" } else { "." };
        Self { full: format!("{full}{dot}{extension}"), ascii: format!("{ascii}{dot}{ascii_extension}") }
    }
}

/// Name of a file that has none of its own: `full` of its [`DownloadName`], without allocation where the title needs no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownName<'a> {
    stem: Cow<'a, str>,
    extension: &'a str,
}

impl<'a> ShownName<'a> {
    /// Makes the name of a file with this title.
    pub fn new(title: &'a str, id: FileId, extension: &'a str) -> Self {
        let max_stem = max_stem(extension);
        let stem = match stem(title) {
            Cow::Borrowed(stem) => full_stem(stem, id, max_stem),
            Cow::Owned(stem) => Cow::Owned(full_stem(&stem, id, max_stem).into_owned()),
        };
        Self { stem, extension }
    }

    /// Makes the name of a file that has one of its own.
    pub const fn own(name: &'a str) -> Self {
        Self { stem: Cow::Borrowed(name), extension: "" }
    }
}

impl fmt::Display for ShownName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stem)?;
        if self.extension.is_empty() { Ok(()) } else { write!(f, ".{}", self.extension) }
    }
}

impl Serialize for ShownName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ShownName<'_> {
    fn schema_name() -> Cow<'static, str> {
        "ShownName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

const fn max_stem(extension: &str) -> usize {
    MAX_BYTES - extension.len() - 1
}

/// Returns the stem of the full name, which is never empty and never too long.
fn full_stem(stem: &str, id: FileId, max_stem: usize) -> Cow<'_, str> {
    match stem {
        stem if !text::has_visible(stem) => Cow::Owned(format!("file-{id}")),
        stem if stem.len() > max_stem => Cow::Owned(with_id(stem, id, max_stem)),
        stem => Cow::Borrowed(stem),
    }
}

/// Removes from the title what a file system, a shell or a reader could misunderstand.
fn stem(title: &str) -> Cow<'_, str> {
    if title.chars().all(|c| clean(c) == Some(c))
        && !title.starts_with(['.', ' ', '-', '~'])
        && !title.ends_with(['.', ' '])
        && !is_device_name(title)
    {
        return Cow::Borrowed(title);
    }
    let cleaned: String = title.chars().filter_map(clean).collect();
    // Leading dots hide a file; Windows drops dots and spaces at the end.
    let trimmed = cleaned.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' ']);
    // A dash begins an option of a command, a tilde the name of a home directory.
    let is_special = trimmed.starts_with(['-', '~']) || is_device_name(trimmed);
    Cow::Owned(if is_special { format!("_{trimmed}") } else { trimmed.to_owned() })
}

/// Returns the character that stands in its place, or `None` if it is removed.
fn clean(c: char) -> Option<char> {
    match c {
        // Most characters of most titles: no need to look up their category.
        ' ' | 'a'..='z' | 'A'..='Z' | '0'..='9' => Some(c),
        '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*' => Some('_'),
        c if c.is_control() || text::is_noncharacter(c) => Some('_'),
        '\u{2028}' | '\u{2029}' => Some(' '),
        // Joiners and tags belong to emoji and letters. All other format characters go: a direction mark lets `exe.txt` be read
        // where the name is `txt.exe`.
        '\u{200c}' | '\u{200d}' | '\u{e0020}'..='\u{e007f}' => Some(c),
        c if text::is_format(c) => None,
        c => Some(c),
    }
}

/// Replaces each run of characters that are not allowed in `filename` by one `_`.
fn ascii(stem: &str) -> String {
    let mut text = String::with_capacity(stem.len());
    for c in stem.chars() {
        if c.is_ascii_alphanumeric() || " ._-()&'+,!=@#[]".contains(c) {
            text.push(c);
        } else if !text.ends_with('_') {
            text.push('_');
        }
    }
    text
}

/// Shortens the stem, at the end of a character, so that it fits with the id behind it.
fn with_id(stem: &str, id: FileId, max_stem: usize) -> String {
    let number = format!("-{id}");
    let mut end = (max_stem - number.len()).min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    let cut = stem[..end].trim_end_matches(['.', ' ', '\u{200d}']);
    format!("{cut}{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(title: &str) -> (String, String) {
        let DownloadName { full, ascii } = DownloadName::new(title, FileId(7), "txt");
        assert_eq!(ShownName::new(title, FileId(7), "txt").to_string(), full);
        (full, ascii)
    }

    #[test]
    fn a_name_is_harmless_on_every_file_system() {
        for (title, full, ascii) in [
            ("Report 7", "Report 7.txt", "Report 7.txt"),
            ("Q&A, part 2 (draft)", "Q&A, part 2 (draft).txt", "Q&A, part 2 (draft).txt"),
            ("日本", "日本.txt", "file-7.txt"),
            ("Größe", "Größe.txt", "Gr_e-7.txt"),
            ("😀 é", "😀 é.txt", "file-7.txt"),
            ("../../etc/passwd", "_.._etc_passwd.txt", "_.._etc_passwd-7.txt"),
            (r"C:\boot.ini", "C__boot.ini.txt", "C__boot.ini-7.txt"),
            ("CON", "_CON.txt", "_CON-7.txt"),
            ("nul.tar", "_nul.tar.txt", "_nul.tar-7.txt"),
            ("com1", "_com1.txt", "_com1-7.txt"),
            ("LPT³", "_LPT³.txt", "_LPT_-7.txt"),
            ("Con artist", "Con artist.txt", "Con artist.txt"),
            ("com10", "com10.txt", "com10.txt"),
            (".bashrc", "bashrc.txt", "bashrc-7.txt"),
            ("a. . .", "a.txt", "a-7.txt"),
            ("...", "file-7.txt", "file-7.txt"),
            ("-rf", "_-rf.txt", "_-rf-7.txt"),
            ("~root", "_~root.txt", "_root-7.txt"),
            ("invoice\u{202e}txt.exe", "invoicetxt.exe.txt", "invoicetxt.exe-7.txt"),
            ("soft\u{ad}hyphen", "softhyphen.txt", "softhyphen-7.txt"),
            ("👨‍👩‍👧", "👨‍👩‍👧.txt", "file-7.txt"),
            ("100% sure", "100% sure.txt", "100_ sure-7.txt"),
        ] {
            assert_eq!(names(title), (full.to_owned(), ascii.to_owned()), "{title:?}");
        }
    }

    #[test]
    fn the_ascii_name_has_an_extension_of_ascii() {
        let name = DownloadName::new("a", FileId(7), "日本");
        assert_eq!((name.full.as_str(), name.ascii.as_str()), ("a.日本", "a._"));
    }

    #[test]
    fn a_name_fits_with_its_extension() {
        for title in ["a", "é", "日", "😀", "a\u{301}", "👨\u{200d}", "."] {
            let title = title.repeat(255);
            let (full, ascii) = names(&title);
            assert!(full.len() <= MAX_BYTES && ascii.len() <= MAX_BYTES, "{full}");
            assert!(full.ends_with("7.txt") && ascii.ends_with("7.txt"), "{full} {ascii}");
        }
    }
}
