//! Formats that contain others: ZIP, Microsoft's compound files, Matroska, MP4. Only what stands in the first bytes is read, with
//! bounds; nothing is unpacked.

use file_format::FileFormat;

use crate::domain::MediaType;

/// Maximum number of entries of a ZIP file that are looked at.
const MAX_ENTRIES: usize = 1024;

const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const SHEET: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const SLIDES: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";

/// Containers, each with the types that its signature leaves open.
const FAMILIES: [(&str, &[&str]); 11] = [
    ("video/mp4", &["audio/mp4", "video/quicktime", "video/3gpp", "video/3gpp2", "audio/3gpp"]),
    ("video/webm", &["audio/webm"]),
    ("video/x-matroska", &["audio/x-matroska", "audio/matroska"]),
    ("application/ogg", &["audio/ogg", "video/ogg"]),
    ("application/vnd.ms-asf", &["video/x-ms-asf", "video/x-ms-wmv", "audio/x-ms-wma"]),
    ("image/heif", &["image/heic", "image/avif", "image/heif-sequence", "image/heic-sequence"]),
    (
        "application/x-cfb",
        &[
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.ms-outlook",
            "application/vnd.ms-project",
            "application/vnd.ms-publisher",
            "application/vnd.visio",
        ],
    ),
    (
        WORD,
        &[
            "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
            "application/vnd.ms-word.document.macroenabled.12",
            "application/vnd.ms-word.template.macroenabled.12",
        ],
    ),
    (
        SHEET,
        &[
            "application/vnd.openxmlformats-officedocument.spreadsheetml.template",
            "application/vnd.ms-excel.sheet.macroenabled.12",
            "application/vnd.ms-excel.template.macroenabled.12",
            "application/vnd.ms-excel.sheet.binary.macroenabled.12",
            "application/vnd.ms-excel.addin.macroenabled.12",
        ],
    ),
    (
        SLIDES,
        &[
            "application/vnd.openxmlformats-officedocument.presentationml.template",
            "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
            "application/vnd.ms-powerpoint.presentation.macroenabled.12",
            "application/vnd.ms-powerpoint.template.macroenabled.12",
            "application/vnd.ms-powerpoint.slideshow.macroenabled.12",
            "application/vnd.ms-powerpoint.addin.macroenabled.12",
        ],
    ),
    (
        "application/gzip",
        &["application/x-tar", "application/x-compressed-tar", "application/x-tgz", "application/x-gtar"],
    ),
];

/// Containers that programs build formats of their own on.
const GENERIC: [&str; 6] = [
    "application/zip",
    "application/gzip",
    "application/x-cfb",
    "application/x-sqlite3",
    "application/zstd",
    "application/vnd.ms-cab-compressed",
];

/// Looks at what a container has in it; `None` when that tells nothing more.
pub(super) fn content(found: &MediaType, bytes: &[u8]) -> Option<MediaType> {
    let name = match found.as_str() {
        "application/zip" => return zip_content(bytes),
        "application/x-cfb" => compound_content(bytes)?,
        "application/x-ebml" => matroska_content(bytes)?,
        "application/x-id3v2" => "audio/mpeg",
        _ => return None,
    };
    name.parse().ok()
}

/// Returns the first hint that the container leaves open, under its usual name. A compressed archive stays what it is.
pub(super) fn refine<'a>(found: &MediaType, hints: impl Iterator<Item = &'a MediaType>) -> Option<MediaType> {
    let (_, members) = FAMILIES.iter().find(|(container, _)| *container == found.canonical())?;
    let mut hints = hints.filter(|_| found.as_str() != "application/gzip");
    hints.find(|hint| members.contains(&hint.canonical()))?.canonical().parse().ok()
}

/// Tells whether bytes of the found type may be what the client says, which is another one.
pub(super) fn is_related(claimed: &MediaType, found: &MediaType) -> bool {
    let (claim, found) = (claimed.canonical(), found.canonical());
    let is_member = |(container, members): &(&str, &[&str])| {
        let has = |name: &str| *container == name || members.contains(&name);
        // Members are told apart where they can be.
        has(claim) && has(found) && (*container == found || *container == claim)
    };
    if FAMILIES.iter().any(is_member) {
        return true;
    }
    match found {
        // Raw pictures of cameras.
        "image/tiff" => claim.starts_with("image/x-"),
        "application/pdf" => matches!(claim, "application/illustrator" | "application/vnd.adobe.illustrator"),
        // Encrypted documents of the newer kind.
        "application/x-cfb" if claim.starts_with("application/vnd.openxmlformats-officedocument.") => true,
        generic => GENERIC.contains(&generic) && is_of_unknown_format(claim),
    }
}

fn is_of_unknown_format(claim: &str) -> bool {
    ["application/", "model/", "font/"].iter().any(|top_level| claim.starts_with(top_level))
        && FileFormat::from_media_type(claim).is_empty()
}

/// Finds the type by the names of the first entries, or by an entry `mimetype` at the beginning.
fn zip_content(bytes: &[u8]) -> Option<MediaType> {
    let mut is_java = false;
    for entry in Entries(bytes).take(MAX_ENTRIES) {
        let name = match entry.name {
            b"mimetype" if entry.stored.is_some() => return entry.stored.and_then(packaged_type),
            b"AndroidManifest.xml" => "application/vnd.android.package-archive",
            b"doc.kml" => "application/vnd.google-earth.kmz",
            b"META-INF/MANIFEST.MF" => {
                // Packages for Android have one, too.
                is_java = true;
                continue;
            }
            name if name.starts_with(b"word/") => WORD,
            name if name.starts_with(b"xl/") => SHEET,
            name if name.starts_with(b"ppt/") => SLIDES,
            name if name.starts_with(b"visio/") => "application/vnd.ms-visio.drawing.main+xml",
            _ => continue,
        };
        return name.parse().ok();
    }
    is_java.then(|| "application/java-archive".parse().ok())?
}

/// Reads what a package says of itself, if it is of a format that does.
fn packaged_type(text: &[u8]) -> Option<MediaType> {
    let media_type: MediaType = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    let families = ["application/vnd.oasis.opendocument.", "application/vnd.sun.xml."];
    let is_package = families.iter().any(|family| media_type.as_str().starts_with(family))
        || matches!(media_type.as_str(), "application/epub+zip" | "image/openraster");
    is_package.then_some(media_type)
}

/// Entry of a ZIP file.
struct Entry<'a> {
    name: &'a [u8],
    /// Content that is not compressed, if all of it is there.
    stored: Option<&'a [u8]>,
}

/// Entries at the beginning of a ZIP file, without the directory at its end.
struct Entries<'a>(&'a [u8]);

const ENTRY_SIGNATURE: &[u8] = b"PK\x03\x04";
const ENTRY_HEADER_BYTES: usize = 30;

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (header, rest) = self.0.split_at_checked(ENTRY_HEADER_BYTES)?;
        if !header.starts_with(ENTRY_SIGNATURE) {
            return None;
        }
        let flags = number(header, 6, 2);
        let is_compressed = number(header, 8, 2) != 0;
        let size = number(header, 18, 4);
        let (name, rest) = rest.split_at_checked(number(header, 26, 2))?;
        let content = rest.get(number(header, 28, 2)..).unwrap_or_default();
        // Without a size in front of it, the content ends somewhere before the next entry.
        let is_size_behind = flags & 8 != 0 && size == 0;
        let next = if is_size_behind { find(content, ENTRY_SIGNATURE) } else { Some(size) };
        self.0 = next.and_then(|next| content.get(next..)).unwrap_or_default();
        Some(Entry { name, stored: content.get(..size).filter(|_| !is_compressed && !is_size_behind) })
    }
}

/// Reads a number of 2 or 4 bytes, the lowest first; 0 outside of the bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    let digits = bytes.get(at..at + length).unwrap_or_default();
    digits.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Class ids of the root of a compound file, by their first part.
const CLASSES: [(usize, &str); 10] = [
    (0x0002_0906, "application/msword"),
    (0x0002_0900, "application/msword"),
    (0x0002_0810, "application/vnd.ms-excel"),
    (0x0002_0820, "application/vnd.ms-excel"),
    (0x6481_8d10, "application/vnd.ms-powerpoint"),
    (0x0002_0d0b, "application/vnd.ms-outlook"),
    (0x0002_1a14, "application/vnd.visio"),
    (0x0002_1a13, "application/vnd.visio"),
    (0x0002_1201, "application/vnd.ms-publisher"),
    (0x000c_1084, "application/x-msi"),
];

/// Names of streams, for programs that write no class id.
const STREAMS: [(&str, &str); 4] = [
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("__substg1.0_", "application/vnd.ms-outlook"),
];

/// Finds the type by the first sector of the directory, if that is within the first bytes.
fn compound_content(bytes: &[u8]) -> Option<&'static str> {
    // 512 bytes in version 3, 4096 in version 4.
    let sector_bytes = if number(bytes, 26, 2) == 4 { 4096 } else { 512 };
    let start = number(bytes, 48, 4).checked_add(1)?.checked_mul(sector_bytes)?;
    let directory = bytes.get(start..)?;
    let directory = &directory[..directory.len().min(sector_bytes)];
    let class = number(directory, 80, 4);
    let by_class = CLASSES.iter().find(|(id, _)| *id == class);
    let by_stream = || {
        STREAMS.iter().find(|(name, _)| {
            let utf16: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            find(directory, &utf16).is_some()
        })
    };
    by_class.map(|(_, media_type)| *media_type).or_else(|| by_stream().map(|(_, media_type)| *media_type))
}

fn matroska_content(bytes: &[u8]) -> Option<&'static str> {
    // The document type stands in the header, which is short.
    let header = &bytes[..bytes.len().min(64)];
    if find(header, b"webm").is_some() {
        Some("video/webm")
    } else {
        find(header, b"matroska").map(|_| "video/x-matroska")
    }
}
