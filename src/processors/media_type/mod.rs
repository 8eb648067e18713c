//! Real media types of files, by their first bytes. What a client claims refines them and never replaces them.

mod containers;
mod extensions;
mod text;

use file_format::FileFormat;

use crate::domain::files::media_type::UNKNOWN;
use crate::domain::{FileName, FileType, MediaType};
use text::Encoding;

/// Number of bytes at the beginning of a file that are looked at.
pub const DETECTION_BYTES: usize = 64 << 10;

/// Media type of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    pub media_type: MediaType,
    /// Sentence for the record, when the bytes contradict what the client claims.
    pub warning: Option<String>,
}

/// Grounds on which a media type was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// Bytes at places where the format demands them.
    Signature,
    /// Nothing but characters, or bytes that can't be told from those of an older encoding.
    Text,
    /// No format that is known.
    Unknown,
}

/// Finds the media type of a file from its first [`DETECTION_BYTES`] bytes, of which fewer are enough for most formats. Empty
/// files have the claimed type, else the one that goes with the extension of their name.
pub fn detect(first_bytes: &[u8], claimed: Option<&MediaType>, name: &FileName) -> Detected {
    let bytes = &first_bytes[..first_bytes.len().min(DETECTION_BYTES)];
    let claimed = claimed.filter(|claimed| !claimed.is_unknown());
    let by_name = name.extension().and_then(extensions::media_type);
    let hints = Hints { claimed, by_name: by_name.as_ref() };
    let encoding = text::encoding(bytes);
    if encoding == Encoding::Empty {
        let media_type = hints.first(|_| true).cloned().unwrap_or_else(MediaType::unknown);
        return Detected { media_type, warning: None };
    }
    let (media_type, basis) = match (text::markup(bytes), encoding) {
        (Some(markup), _) => {
            let is_refined = |hint: &MediaType| markup == "text/xml" && is_xml(hint) && !is_scriptable(hint);
            (chosen(markup, hints.first(is_refined)), Basis::Text)
        }
        (None, Encoding::Empty | Encoding::Binary) => of_binary(bytes, hints),
        (None, Encoding::Utf8 | Encoding::Legacy) => of_text(bytes, encoding, hints),
    };
    let warning = claimed.filter(|claimed| contradicts(claimed, &media_type, basis)).map(|claimed| {
        let found = if media_type.is_unknown() { "of no known format" } else { media_type.as_str() };
        format!("the client says that the file is {claimed}, but its bytes are {found}")
    });
    Detected { media_type, warning }
}

/// Claims of a client. They choose between types that the bytes allow.
#[derive(Debug, Clone, Copy)]
struct Hints<'a> {
    claimed: Option<&'a MediaType>,
    by_name: Option<&'a MediaType>,
}

impl<'a> Hints<'a> {
    fn first(self, is_possible: impl Fn(&MediaType) -> bool) -> Option<&'a MediaType> {
        [self.claimed, self.by_name].into_iter().flatten().find(|hint| is_possible(hint))
    }
}

fn of_text(bytes: &[u8], encoding: Encoding, hints: Hints<'_>) -> (MediaType, Basis) {
    let format = FileFormat::from_bytes(bytes);
    if text::can_be(format.media_type(), bytes) {
        let found = chosen(format.media_type(), None);
        let basis = if is_textual(&found) { Basis::Text } else { Basis::Signature };
        return (found, basis);
    }
    // Fragments of HTML are possible, and XML without a declaration.
    let hint = hints.first(|hint| is_textual(hint) && !is_scriptable(hint));
    match (encoding, hint) {
        (Encoding::Utf8, hint) => (chosen("text/plain", hint), Basis::Text),
        (_, Some(hint)) => (hint.clone(), Basis::Text),
        // Bytes that can't be told from characters are no reason to call them text.
        (_, None) => (MediaType::unknown(), Basis::Text),
    }
}

fn of_binary(bytes: &[u8], hints: Hints<'_>) -> (MediaType, Basis) {
    let format = FileFormat::from_bytes(bytes);
    let name = match format.media_type() {
        // Brands that are newer than the list of signatures.
        UNKNOWN if bytes.get(4..8) == Some(b"ftyp") => "video/mp4",
        name => name,
    };
    let found = chosen(name, None);
    let is_agreed = || hints.first(|hint| hint.canonical() == found.as_str()).is_some();
    if found.is_unknown() || WEAK.contains(&name) && !is_agreed() {
        return (MediaType::unknown(), Basis::Unknown);
    }
    let found = containers::content(&found, bytes).unwrap_or(found);
    let refined = containers::refine(&found, hints.claimed.into_iter().chain(hints.by_name));
    (refined.unwrap_or(found), Basis::Signature)
}

/// Media types whose signature is two or three bytes that other files begin with, too.
const WEAK: [&str; 18] = [
    "application/x-apple-diskimage",
    "application/x-coff",
    "application/x-commodore-64-program",
    "application/x-compress",
    "application/x-cpio",
    "application/x-genesis-rom",
    "application/x-sbx",
    "application/x-x509-ca-cert",
    "audio/aac",
    "audio/ac3",
    "audio/mpeg",
    "image/jxl",
    "image/x-pcx",
    "image/x-sgi",
    "video/mp2t",
    "video/x-flc",
    "video/x-fli",
    "video/x-mtv",
];

/// Returns the hint, else the found type under its usual name.
fn chosen(found: &str, hint: Option<&MediaType>) -> MediaType {
    let parsed = found.parse::<MediaType>().unwrap_or_else(|_| MediaType::unknown());
    let usual = || parsed.canonical().parse().unwrap_or_else(|_| MediaType::unknown());
    hint.cloned().unwrap_or_else(usual)
}

/// Tells whether files of a type consist of characters.
fn is_textual(media_type: &MediaType) -> bool {
    FileType::of_media_type(media_type.as_str()) == FileType::Text
        || is_xml(media_type)
        || matches!(
            media_type.as_str(),
            "application/x-tex" | "application/x-latex" | "application/x-abiword" | "application/x-pem-file"
        )
}

fn is_xml(media_type: &MediaType) -> bool {
    media_type.canonical() == "text/xml" || media_type.subtype().ends_with("+xml")
}

/// Tells whether a type is one that browsers run scripts of; such a type is found by its markup.
fn is_scriptable(media_type: &MediaType) -> bool {
    matches!(media_type.canonical(), "image/svg+xml" | "application/xhtml+xml")
}

/// Formats whose files always begin with their signature, so that bytes without it are something else.
const SIGNED: [&str; 12] = [
    "application/pdf",
    "application/zip",
    "application/gzip",
    "application/vnd.rar",
    "application/x-7z-compressed",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
];

/// Tells whether the bytes can't be what the client says.
fn contradicts(claimed: &MediaType, found: &MediaType, basis: Basis) -> bool {
    match basis {
        Basis::Signature => {
            claimed.canonical() != found.canonical() && !containers::is_related(claimed, found)
        }
        Basis::Text => {
            let kind = FileType::of_media_type(claimed.as_str());
            let has_signature = match kind {
                FileType::Image
                | FileType::Video
                | FileType::Audio
                | FileType::Document
                | FileType::Archive => true,
                FileType::Text | FileType::Other => claimed.top_level() == "font",
            };
            has_signature && !is_textual(claimed) || claimed.as_str() == "image/svg+xml" && claimed != found
        }
        Basis::Unknown => is_textual(claimed) || SIGNED.contains(&claimed.canonical()),
    }
}

#[cfg(test)]
mod tests;
