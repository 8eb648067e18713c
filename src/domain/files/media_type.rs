//! Media types (RFC 6838) as records have them: `type/subtype` in lower case, without parameters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Maximum length of a media type, in characters.
pub const MEDIA_TYPE_MAX_CHARS: usize = 255;

/// Maximum length of the type and of the subtype (RFC 6838 §4.2).
const NAME_MAX_CHARS: usize = 127;

/// Media type of bytes of which nothing more is known.
pub const UNKNOWN: &str = "application/octet-stream";

/// Valid media type without parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct MediaType(String);

/// Reason why a text is not a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must have the form type/subtype, each of 1 to 127 letters, digits and ! # $ & - ^ _ . +")]
pub struct NotAMediaType;

impl MediaType {
    /// Returns the media type of bytes of which nothing more is known.
    pub fn unknown() -> Self {
        Self(UNKNOWN.to_owned())
    }

    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the slash.
    pub fn top_level(&self) -> &str {
        self.0.split_once('/').map_or("", |(top_level, _)| top_level)
    }

    /// Returns the part after the slash.
    pub fn subtype(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, subtype)| subtype)
    }

    /// Returns the name that this project uses for it: several types have more than one.
    pub fn canonical(&self) -> &str {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == self.0);
        alias.map_or(&*self.0, |(_, canonical)| canonical)
    }

    /// Tells whether it says no more than that there are bytes.
    pub fn is_unknown(&self) -> bool {
        self.0 == UNKNOWN
    }
}

impl FromStr for MediaType {
    type Err = NotAMediaType;

    /// Parses the value of a Content-Type field (RFC 9110 §8.3). Parameters are dropped, whatever they are.
    fn from_str(text: &str) -> Result<Self, NotAMediaType> {
        let essence = text.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
        let (top_level, subtype) = essence.split_once('/').ok_or(NotAMediaType)?;
        if is_restricted_name(top_level) && is_restricted_name(subtype) {
            Ok(Self(essence.to_ascii_lowercase()))
        } else {
            Err(NotAMediaType)
        }
    }
}

impl TryFrom<String> for MediaType {
    type Error = NotAMediaType;

    fn try_from(text: String) -> Result<Self, NotAMediaType> {
        text.parse()
    }
}

impl AsRef<str> for MediaType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Other names of types, each with the usual one.
const ALIASES: [(&str, &str); 72] = [
    ("application/acrobat", "application/pdf"),
    ("application/bzip2", "application/x-bzip2"),
    ("application/dos-exe", PORTABLE_EXECUTABLE),
    ("application/ecmascript", "text/javascript"),
    ("application/exe", PORTABLE_EXECUTABLE),
    ("application/gzip-compressed", "application/gzip"),
    ("application/javascript", "text/javascript"),
    ("application/mp4", "video/mp4"),
    ("application/msexcel", "application/vnd.ms-excel"),
    ("application/mspowerpoint", "application/vnd.ms-powerpoint"),
    ("application/rar", "application/vnd.rar"),
    ("application/text", "text/plain"),
    ("application/vnd.msexcel", "application/vnd.ms-excel"),
    ("application/vnd.sqlite3", "application/x-sqlite3"),
    ("application/x-bzip", "application/x-bzip2"),
    ("application/x-dosexec", PORTABLE_EXECUTABLE),
    ("application/x-elf", "application/x-executable"),
    ("application/x-exe", PORTABLE_EXECUTABLE),
    ("application/x-gunzip", "application/gzip"),
    ("application/x-gzip", "application/gzip"),
    ("application/x-gzip-compressed", "application/gzip"),
    ("application/x-java-archive", "application/java-archive"),
    ("application/x-javascript", "text/javascript"),
    ("application/x-ms-dos-executable", PORTABLE_EXECUTABLE),
    ("application/x-ms-ne-executable", PORTABLE_EXECUTABLE),
    ("application/x-msdos-program", PORTABLE_EXECUTABLE),
    ("application/x-msdownload", PORTABLE_EXECUTABLE),
    ("application/x-ole-storage", "application/x-cfb"),
    ("application/x-pdf", "application/pdf"),
    ("application/x-pie-executable", "application/x-executable"),
    ("application/x-rar", "application/vnd.rar"),
    ("application/x-rar-compressed", "application/vnd.rar"),
    ("application/x-rtf", "application/rtf"),
    ("application/x-sh", "text/x-shellscript"),
    ("application/x-shar", "text/x-shellscript"),
    ("application/x-sharedlib", "application/x-executable"),
    ("application/x-shellscript", "text/x-shellscript"),
    ("application/x-sqlite", "application/x-sqlite3"),
    ("application/x-winexe", PORTABLE_EXECUTABLE),
    ("application/x-zip", "application/zip"),
    ("application/x-zip-compressed", "application/zip"),
    ("application/xml", "text/xml"),
    ("audio/m4a", "audio/mp4"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/vnd.wave", "audio/wav"),
    ("audio/wave", "audio/wav"),
    ("audio/x-aac", "audio/aac"),
    ("audio/x-flac", "audio/flac"),
    ("audio/x-m4a", "audio/mp4"),
    ("audio/x-mp3", "audio/mpeg"),
    ("audio/x-mpeg", "audio/mpeg"),
    ("audio/x-pn-wav", "audio/wav"),
    ("audio/x-wav", "audio/wav"),
    ("image/apng", "image/png"),
    ("image/ico", "image/vnd.microsoft.icon"),
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("image/svg", "image/svg+xml"),
    ("image/tif", "image/tiff"),
    ("image/x-bmp", "image/bmp"),
    ("image/x-icon", "image/vnd.microsoft.icon"),
    ("image/x-ms-bmp", "image/bmp"),
    ("image/x-png", "image/png"),
    ("image/x-windows-bmp", "image/bmp"),
    ("text/rtf", "application/rtf"),
    ("text/x-html", "text/html"),
    ("text/x-javascript", "text/javascript"),
    ("text/x-sh", "text/x-shellscript"),
    ("video/avi", "video/x-msvideo"),
    ("video/matroska", "video/x-matroska"),
    ("video/msvideo", "video/x-msvideo"),
    ("video/x-m4v", "video/mp4"),
];

/// Programs for Windows and DOS.
const PORTABLE_EXECUTABLE: &str = "application/vnd.microsoft.portable-executable";

/// Checks `restricted-name` of RFC 6838 §4.2.
fn is_restricted_name(name: &str) -> bool {
    let is_first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte));
    is_first && is_rest && name.len() <= NAME_MAX_CHARS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_loses_parameters_and_capitals() {
        for (text, media_type) in [
            ("text/plain", "text/plain"),
            ("Text/HTML; charset=\"utf-8\"", "text/html"),
            (" image/svg+xml ;", "image/svg+xml"),
            ("application/vnd.ms-excel", "application/vnd.ms-excel"),
            ("x-world/x-3dmf", "x-world/x-3dmf"),
            ("video/mp4;codecs=\"avc1, \\\"\";", "video/mp4"),
            ("application/x_a!b#c$d&e^f", "application/x_a!b#c$d&e^f"),
        ] {
            assert_eq!(text.parse::<MediaType>().unwrap().as_str(), media_type);
        }
        let svg: MediaType = "image/svg+xml".parse().unwrap();
        assert_eq!((svg.top_level(), svg.subtype()), ("image", "svg+xml"));
    }

    #[test]
    fn a_type_with_several_names_has_one_canonical_name() {
        let canonical = |text: &str| text.parse::<MediaType>().unwrap().canonical().to_owned();
        assert_eq!(canonical("Image/JPG"), "image/jpeg");
        assert_eq!(canonical("application/x-msdownload"), "application/vnd.microsoft.portable-executable");
        assert_eq!(canonical("image/webp"), "image/webp");
        for (alias, name) in ALIASES {
            assert_eq!(canonical(alias), name);
            assert_eq!(canonical(name), name, "{alias} has an alias as its name");
        }
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for text in [
            "",
            "text",
            "/",
            "text/",
            "/plain",
            "text/plain/x",
            "text /plain",
            "text/ plain",
            "text/pl ain",
            "text,image/png",
            "*/*",
            "image/*",
            ".text/plain",
            "text/plain\r\nx: y",
            "text/plain\0",
            "tëxt/plain",
            "; charset=utf-8",
        ] {
            assert_eq!(text.parse::<MediaType>(), Err(NotAMediaType), "{text:?}");
        }
        let longest = format!("{}/{}", "a".repeat(127), "b".repeat(127));
        assert_eq!(longest.parse::<MediaType>().unwrap().as_str().len(), MEDIA_TYPE_MAX_CHARS);
        assert_eq!(format!("{longest}c").parse::<MediaType>(), Err(NotAMediaType));
    }
}
