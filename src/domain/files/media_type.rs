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
