//! Media types that go with the extensions of file names.

use crate::domain::MediaType;

/// Returns the media type of an extension, of any case.
pub(super) fn media_type(extension: &str) -> Option<MediaType> {
    let extension = extension.to_ascii_lowercase();
    let (_, name) =
        MEDIA_TYPES.iter().find(|(extensions, _)| extensions.split(' ').any(|one| one == extension))?;
    name.parse().ok()
}

/// Extensions, and the type that they stand for.
const MEDIA_TYPES: [(&str, &str); 76] = [
    ("txt text log conf cfg ini env", "text/plain"),
    ("csv", "text/csv"),
    ("tsv tab", "text/tab-separated-values"),
    ("md markdown mkd", "text/markdown"),
    ("html htm", "text/html"),
    ("xhtml", "application/xhtml+xml"),
    ("css", "text/css"),
    ("js mjs cjs", "text/javascript"),
    ("ts tsx", "text/x-typescript"),
    ("json map", "application/json"),
    ("ndjson jsonl", "application/x-ndjson"),
    ("jsonld", "application/ld+json"),
    ("geojson", "application/geo+json"),
    ("xml xsd xsl", "text/xml"),
    ("svg", "image/svg+xml"),
    ("rss", "application/rss+xml"),
    ("atom", "application/atom+xml"),
    ("gpx", "application/gpx+xml"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("yaml yml", "application/yaml"),
    ("toml", "application/toml"),
    ("sql", "application/sql"),
    ("sh bash zsh", "text/x-shellscript"),
    ("py", "text/x-python"),
    ("rb", "text/x-ruby"),
    ("pl pm", "text/x-perl"),
    ("rs", "text/x-rust"),
    ("go", "text/x-go"),
    ("c h", "text/x-c"),
    ("cpp cc cxx hpp", "text/x-c++"),
    ("java", "text/x-java"),
    ("ics", "text/calendar"),
    ("vcf", "text/vcard"),
    ("vtt", "text/vtt"),
    ("srt", "application/x-subrip"),
    ("eml", "message/rfc822"),
    ("diff patch", "text/x-diff"),
    ("tex", "text/x-tex"),
    ("rtf", "application/rtf"),
    ("pdf", "application/pdf"),
    ("doc dot", "application/msword"),
    ("xls xlt", "application/vnd.ms-excel"),
    ("ppt pps", "application/vnd.ms-powerpoint"),
    ("msg", "application/vnd.ms-outlook"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("epub", "application/epub+zip"),
    ("png", "image/png"),
    ("jpg jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("heic", "image/heic"),
    ("bmp", "image/bmp"),
    ("tif tiff", "image/tiff"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jxl", "image/jxl"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("aac", "audio/aac"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("ogg oga opus", "audio/ogg"),
    ("mp4 m4v", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("ogv", "video/ogg"),
    ("zip", "application/zip"),
    ("gz tgz", "application/gzip"),
    ("tar", "application/x-tar"),
    ("7z", "application/x-7z-compressed"),
    ("jar", "application/java-archive"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_extension_stands_for_one_valid_type() {
        let all: Vec<&str> = MEDIA_TYPES.iter().flat_map(|(extensions, _)| extensions.split(' ')).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        for extension in all {
            assert!(media_type(extension).is_some(), "{extension}");
        }
        assert_eq!(media_type("JPG").unwrap().as_str(), "image/jpeg");
        assert_eq!(media_type("exe"), None);
        assert_eq!(media_type("jpg jpeg"), None);
        assert_eq!(media_type(""), None);
    }
}
