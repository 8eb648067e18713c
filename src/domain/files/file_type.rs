//! Kinds of files, as people sort them: what a list is filtered by and which icon is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The closed list; every property of a kind is an exhaustive match beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileType {
    Image,
    Video,
    Audio,
    Document,
    Archive,
    Text,
    Other,
}

impl FileType {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Image, Self::Video, Self::Audio, Self::Document, Self::Archive, Self::Text, Self::Other];

    /// The name in requests, messages and rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Document => "document",
            Self::Archive => "archive",
            Self::Text => "text",
            Self::Other => "other",
        }
    }

    /// Parses the name that the API uses.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file_type| file_type.name() == name)
    }

    /// Sorts a media type, with or without parameters, in any case.
    pub fn of_media_type(media_type: &str) -> Self {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (top_level, subtype) = essence.split_once('/').unwrap_or_default();
        match top_level {
            // Drawings and scans that programs for documents open.
            "image" if subtype.contains("djvu") => Self::Document,
            "image" => Self::Image,
            "video" => Self::Video,
            "audio" => Self::Audio,
            "text" if matches!(subtype, "rtf" | "richtext") => Self::Document,
            "text" | "message" => Self::Text,
            "application" => Self::of_application(subtype),
            _ => Self::Other,
        }
    }

    fn of_application(subtype: &str) -> Self {
        let subtype = subtype.strip_prefix("x-").unwrap_or(subtype);
        if DOCUMENTS.contains(&subtype) || DOCUMENT_FAMILIES.iter().any(|family| subtype.starts_with(family))
        {
            Self::Document
        } else if ARCHIVES.contains(&subtype) {
            Self::Archive
        } else if TEXTS.contains(&subtype) || subtype.ends_with("+json") || subtype.ends_with("+xml") {
            Self::Text
        } else if matches!(subtype, "mp4" | "mxf" | "vnd.rn-realmedia" | "shockwave-flash" | "matroska") {
            Self::Video
        } else if matches!(subtype, "ogg") {
            Self::Audio
        } else {
            Self::Other
        }
    }
}

/// Subtypes of `application`, without `x-`.
const DOCUMENTS: [&str; 20] = [
    "pdf",
    "msword",
    "rtf",
    "epub+zip",
    "mobipocket-ebook",
    "fictionbook+xml",
    "postscript",
    "abiword",
    "tex",
    "latex",
    "dvi",
    "illustrator",
    "indesign",
    "mspublisher",
    "mswrite",
    "hwp",
    "vnd.visio",
    "vnd.wordperfect",
    "vnd.lotus-1-2-3",
    "oxps",
];

/// Beginnings of subtypes: each program of a suite has its own.
const DOCUMENT_FAMILIES: [&str; 13] = [
    "vnd.openxmlformats-officedocument.",
    "vnd.oasis.opendocument.",
    "vnd.ms-excel",
    "vnd.ms-powerpoint",
    "vnd.ms-word",
    "vnd.ms-works",
    "vnd.ms-project",
    "vnd.ms-publisher",
    "vnd.ms-visio.",
    "vnd.ms-xpsdocument",
    "vnd.apple.",
    "vnd.sun.xml.",
    "vnd.google-apps.",
];

const ARCHIVES: [&str; 33] = [
    "zip",
    "zip-compressed",
    "gzip",
    "tar",
    "gtar",
    "compressed-tar",
    "bzip",
    "bzip2",
    "xz",
    "lzma",
    "lzip",
    "lz4",
    "lzop",
    "zstd",
    "compress",
    "snappy-framed",
    "brotli",
    "7z-compressed",
    "rar",
    "rar-compressed",
    "vnd.rar",
    "vnd.ms-cab-compressed",
    "ace-compressed",
    "arj",
    "lzh-compressed",
    "stuffit",
    "archive",
    "cpio",
    "iso9660-image",
    "java-archive",
    "vnd.android.package-archive",
    "vnd.debian.binary-package",
    "rpm",
];

const TEXTS: [&str; 24] = [
    "json",
    "ndjson",
    "jsonl",
    "json5",
    "jsonlines",
    "json-seq",
    "xml",
    "xml-dtd",
    "javascript",
    "ecmascript",
    "typescript",
    "yaml",
    "toml",
    "sql",
    "graphql",
    "csv",
    "sh",
    "shellscript",
    "python",
    "perl",
    "ruby",
    "httpd-php",
    "subrip",
    "mbox",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for file_type in FileType::ALL {
            assert_eq!(FileType::from_name(file_type.name()), Some(file_type));
            assert_eq!(serde_json::to_string(&file_type).unwrap(), format!("{:?}", file_type.name()));
        }
        assert_eq!(FileType::from_name("Image"), None);
    }

    #[test]
    fn a_media_type_is_sorted_as_people_would() {
        use FileType::{Archive, Audio, Document, Image, Other, Text, Video};
        for (media_type, file_type) in [
            ("image/png", Image),
            ("IMAGE/JPEG", Image),
            ("image/svg+xml", Image),
            ("image/vnd.djvu", Document),
            ("video/mp4", Video),
            ("video/quicktime", Video),
            ("application/mp4", Video),
            ("audio/mpeg", Audio),
            ("application/ogg", Audio),
            ("application/pdf", Document),
            ("application/msword", Document),
            ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Document),
            ("application/vnd.oasis.opendocument.text", Document),
            ("application/vnd.ms-excel.sheet.macroenabled.12", Document),
            ("application/epub+zip", Document),
            ("application/rtf", Document),
            ("text/rtf", Document),
            ("application/zip", Archive),
            ("application/x-zip-compressed", Archive),
            ("application/gzip", Archive),
            ("application/x-tar", Archive),
            ("application/x-7z-compressed", Archive),
            ("application/vnd.rar", Archive),
            ("text/plain; charset=utf-8", Text),
            ("text/html", Text),
            ("text/csv", Text),
            ("message/rfc822", Text),
            ("application/json", Text),
            ("application/ld+json", Text),
            ("application/xhtml+xml", Text),
            ("application/javascript", Text),
            ("application/x-sh", Text),
            ("application/octet-stream", Other),
            ("application/wasm", Other),
            ("application/x-msdownload", Other),
            ("application/vnd.microsoft.portable-executable", Other),
            ("font/woff2", Other),
            ("model/gltf-binary", Other),
            ("x-world/x-3dmf", Other),
            ("image", Other),
            ("", Other),
        ] {
            assert_eq!(FileType::of_media_type(media_type), file_type, "{media_type}");
        }
    }
}
