//! Real and lying files: what they are found to be, and which claims are warned about.

use proptest::prelude::*;

use super::*;

fn name(name: &str) -> FileName {
    FileName::clean(name)
}

fn detected(bytes: &[u8], claimed: &str, file_name: &str) -> Detected {
    let claimed: Option<MediaType> =
        Some(claimed).filter(|claimed| !claimed.is_empty()).map(|c| c.parse().unwrap());
    detect(bytes, claimed.as_ref(), &name(file_name))
}

fn media_type(bytes: &[u8], claimed: &str, file_name: &str) -> String {
    detected(bytes, claimed, file_name).media_type.to_string()
}

/// ZIP file of these entries, without its directory. A content with a size behind it has no size in its header.
fn zip(entries: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content, is_size_behind) in entries {
        let size = if *is_size_behind { 0 } else { u32::try_from(content.len()).unwrap() };
        bytes.extend(b"PK\x03\x04\x14\0");
        bytes.extend(if *is_size_behind { [8, 0] } else { [0, 0] });
        bytes.extend([0; 10]);
        bytes.extend(size.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend([2, 0]);
        bytes.extend(name.as_bytes());
        bytes.extend(b"xx");
        bytes.extend(*content);
    }
    bytes
}

fn compound_file(class: u32, stream: &str) -> Vec<u8> {
    let mut bytes = vec![0; 1536];
    bytes[..8].copy_from_slice(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1");
    bytes[26] = 3;
    bytes[48] = 1;
    bytes[1024 + 80..1024 + 84].copy_from_slice(&class.to_le_bytes());
    for (index, unit) in stream.encode_utf16().enumerate() {
        bytes[1024 + 128 + 2 * index..][..2].copy_from_slice(&unit.to_le_bytes());
    }
    bytes
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0";
const PDF: &[u8] = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n\0";
const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0";
const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
const MP4: &[u8] = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";
const WEBM: &[u8] = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82\x84webm\0";
const MKV: &[u8] = b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska\0";
const OGG: &[u8] = b"OggS\0\x02\0\0\0\0\0\0\0\0";
const MP3: &[u8] = b"ID3\x03\0\0\0\0\0\x0aTIT2\0";
const NOISE: &[u8] = b"\xf3\x01\x9c\0\xaa\x55\x17\xee\x80\0\x03\x99";

#[test]
fn bytes_decide_without_any_claim() {
    for (bytes, found) in [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0", "image/bmp"),
        (PDF, "application/pdf"),
        (b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n", "application/pdf"),
        (b"{\\rtf1\\ansi hello}", "application/rtf"),
        (b"%!PS-Adobe-3.0\n", "application/postscript"),
        (EXE, "application/vnd.microsoft.portable-executable"),
        (ELF, "application/x-executable"),
        (GZIP, "application/gzip"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "application/x-7z-compressed"),
        (MP4, "video/mp4"),
        (b"\0\0\0\x18ftypXXXX\0\0\0\0", "video/mp4"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0", "audio/mp4"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0", "video/quicktime"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "image/heic"),
        (WEBM, "video/webm"),
        (MKV, "video/x-matroska"),
        (OGG, "application/ogg"),
        (MP3, "audio/mpeg"),
        (b"fLaC\0\0\0\x22", "audio/flac"),
        (b"SQLite format 3\0\x10\0", "application/x-sqlite3"),
        (b"\0asm\x01\0\0\0", "application/wasm"),
        (b"hello", "text/plain"),
        ("日本\n😀".as_bytes(), "text/plain"),
        (b"<!doctype html><title>x</title>", "text/html"),
        (b"<?xml version=\"1.0\"?><rss/>", "text/xml"),
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "image/svg+xml"),
        (b"#!/bin/sh\necho hi\n", "text/x-shellscript"),
        (b"#!/bin/sh\necho hi\n\0\x01\x02", "text/x-shellscript"),
        (b"<html>\0\x01", "text/html"),
        (b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", "text/calendar"),
        (NOISE, UNKNOWN),
        (b"\0", UNKNOWN),
        (&[0; 1000], UNKNOWN),
    ] {
        assert_eq!(media_type(bytes, "", "file"), found, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn words_that_are_signatures_of_other_formats_are_text() {
    for text in [
        "true or false",
        "BMW is a car",
        "MZ",
        "MAC address",
        "PAR1",
        "GIF89a",
        "Cr24",
        "%!TEX root",
        "P1 a",
        "ZOO",
    ] {
        assert_eq!(media_type(text.as_bytes(), "", "a.md"), "text/markdown", "{text}");
        assert_eq!(detected(text.as_bytes(), "text/plain", "a").warning, None, "{text}");
    }
}

#[test]
fn text_keeps_a_textual_claim_else_goes_by_the_extension() {
    for (claimed, file_name, found) in [
        ("text/csv", "a", "text/csv"),
        ("text/csv", "a.md", "text/csv"),
        ("text/plain", "a.csv", "text/plain"),
        ("application/json", "a", "application/json"),
        ("application/javascript", "a", "application/javascript"),
        ("application/x-ndjson", "a", "application/x-ndjson"),
        ("text/html", "a", "text/html"),
        ("application/rss+xml", "a", "application/rss+xml"),
        ("", "a.CSV", "text/csv"),
        ("", "a.json", "application/json"),
        ("", "a.js", "text/javascript"),
        ("", "a.unknown", "text/plain"),
        ("application/octet-stream", "a.md", "text/markdown"),
        ("application/x-something", "a.md", "text/markdown"),
        ("image/png", "a.css", "text/css"),
        ("image/png", "a.png", "text/plain"),
        // SVG is known by its bytes.
        ("image/svg+xml", "a.svg", "text/plain"),
        ("", "a.svg", "text/plain"),
    ] {
        assert_eq!(media_type(b"a,b\n1,2\n", claimed, file_name), found, "{claimed} {file_name}");
    }
}

#[test]
fn markup_is_what_it_is_whatever_is_claimed() {
    let html = b"<!DOCTYPE html><script>alert(1)</script>";
    for claimed in ["text/plain", "text/markdown", "image/png", "application/pdf", ""] {
        assert_eq!(media_type(html, claimed, "a.txt"), "text/html", "{claimed}");
    }
    let svg = b"<?xml version=\"1.0\"?><svg onload=\"alert(1)\"/>";
    for claimed in ["text/plain", "image/png", "text/xml", "application/rss+xml", ""] {
        assert_eq!(media_type(svg, claimed, "a.png"), "image/svg+xml", "{claimed}");
    }
    let xml = b"<?xml version=\"1.0\"?><rss/>";
    for (claimed, file_name, found) in [
        ("application/rss+xml", "a", "application/rss+xml"),
        ("application/xml", "a", "application/xml"),
        ("", "a.gpx", "application/gpx+xml"),
        ("image/svg+xml", "a", "text/xml"),
        ("application/xhtml+xml", "a", "text/xml"),
        ("text/plain", "a", "text/xml"),
    ] {
        assert_eq!(media_type(xml, claimed, file_name), found, "{claimed} {file_name}");
    }
}

#[test]
fn text_of_older_encodings_needs_a_hint() {
    for bytes in [&b"caf\xe9;1\n"[..], b"\xff\xfea\0;\x001\0"] {
        assert_eq!(media_type(bytes, "text/csv", "a"), "text/csv");
        assert_eq!(media_type(bytes, "", "a.txt"), "text/plain");
        assert_eq!(media_type(bytes, "", "a"), UNKNOWN);
        assert_eq!(detected(bytes, "text/csv", "a").warning, None);
        assert!(detected(bytes, "image/png", "a.png").warning.is_some());
    }
}

#[test]
fn an_empty_file_is_what_is_claimed() {
    for (claimed, file_name, found) in [
        ("image/png", "a.txt", "image/png"),
        ("", "a.txt", "text/plain"),
        ("application/octet-stream", "a.json", "application/json"),
        ("", "a", UNKNOWN),
    ] {
        let detected = detected(b"", claimed, file_name);
        assert_eq!((detected.media_type.as_str(), detected.warning), (found, None));
    }
}

#[test]
fn a_zip_file_is_known_by_its_entries() {
    const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    const SHEET: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    let nested = zip(&[("word/document.xml", b"", false)]);
    for (bytes, found) in [
        (zip(&[("a.txt", b"hello", false)]), "application/zip"),
        (zip(&[("[Content_Types].xml", b"abc", false), ("word/document.xml", b"", false)]), WORD),
        (zip(&[("[Content_Types].xml", b"abc", true), ("xl/workbook.xml", b"", true)]), SHEET),
        (
            zip(&[("mimetype", b"application/epub+zip", false), ("word/x", b"", false)]),
            "application/epub+zip",
        ),
        (
            zip(&[("mimetype", b"application/vnd.oasis.opendocument.text\n", false)]),
            "application/vnd.oasis.opendocument.text",
        ),
        (zip(&[("mimetype", b"text/html", false)]), "application/zip"),
        (zip(&[("mimetype", b"\xff", false)]), "application/zip"),
        (zip(&[("META-INF/MANIFEST.MF", b"", false), ("a.class", b"", false)]), "application/java-archive"),
        (
            zip(&[("META-INF/MANIFEST.MF", b"", false), ("AndroidManifest.xml", b"", false)]),
            "application/vnd.android.package-archive",
        ),
        (zip(&[("doc.kml", b"<kml/>", false)]), "application/vnd.google-earth.kmz"),
        // A document in an archive doesn't make the archive a document.
        (zip(&[("a.docx", &nested, false), ("b.txt", b"", false)]), "application/zip"),
        (zip(&[("a.txt", b"hello", false)])[..20].to_vec(), "application/zip"),
        (b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "application/zip"),
    ] {
        assert_eq!(media_type(&bytes, "", "a"), found, "{:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_compound_file_is_known_by_its_directory() {
    for (class, stream, claimed, found) in [
        (0x0002_0906, "", "", "application/msword"),
        (0x0002_0820, "", "application/msword", "application/vnd.ms-excel"),
        (0x000c_1084, "", "application/msword", "application/x-msi"),
        (0, "WordDocument", "", "application/msword"),
        (0, "PowerPoint Document", "", "application/vnd.ms-powerpoint"),
        (0, "", "", "application/x-cfb"),
        (0, "", "application/vnd.ms-outlook", "application/vnd.ms-outlook"),
        (0, "", "application/pdf", "application/x-cfb"),
    ] {
        assert_eq!(media_type(&compound_file(class, stream), claimed, "a"), found, "{class:x} {stream}");
    }
    // The directory is beyond the first bytes: the hint decides.
    let mut far = compound_file(0x000c_1084, "");
    far[48..52].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(media_type(&far, "", "a.xls"), "application/vnd.ms-excel");
    assert_eq!(media_type(&far[..20], "", "a"), "application/x-cfb");
}

#[test]
fn a_claim_chooses_between_types_that_the_bytes_allow() {
    for (bytes, claimed, file_name, found) in [
        (MP4, "audio/mp4", "a", "audio/mp4"),
        (MP4, "audio/x-m4a", "a", "audio/mp4"),
        (MP4, "", "a.mov", "video/quicktime"),
        (WEBM, "audio/webm", "a", "audio/webm"),
        (OGG, "", "a.ogg", "audio/ogg"),
        (OGG, "video/ogg", "a.ogg", "video/ogg"),
        (b"\xff\xfb\x90\x64\0\0", "audio/mp3", "a", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0\0", "", "a.mp3", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0\0", "", "a", UNKNOWN),
        (b"\x64\x86\0\0", "", "a", UNKNOWN),
        (GZIP, "application/x-tar", "a.tar.gz", "application/gzip"),
    ] {
        let detected = detected(bytes, claimed, file_name);
        assert_eq!((detected.media_type.as_str(), detected.warning), (found, None), "{claimed} {file_name}");
    }
}

#[test]
fn other_names_and_unknown_formats_are_no_contradiction() {
    let archive = zip(&[("a.txt", b"hello", false)]);
    let word = zip(&[("word/document.xml", b"", false)]);
    for (bytes, claimed) in [
        (PNG, "image/x-png"),
        (JPEG, "image/jpg"),
        (JPEG, "IMAGE/JPEG"),
        (EXE, "application/x-msdownload"),
        (MP3, "audio/mp3"),
        (PDF, "application/x-pdf"),
        (GZIP, "application/x-gzip"),
        (GZIP, "application/x-tgz"),
        (b"II\x2a\0\x08\0\0\0", "image/x-adobe-dng"),
        (&archive, "application/x-zip-compressed"),
        (&archive, "application/vnd.example+zip"),
        (&archive, "application/octet-stream"),
        (&word, "application/vnd.ms-word.document.macroenabled.12"),
        (b"SQLite format 3\0\x10\0", "application/vnd.example"),
        (b"hello", "text/x-anything"),
        (b"hello", "application/x-anything"),
        (b"hello", "application/json"),
        (b"<!doctype html>", "text/plain"),
        (b"<a/>", "application/xml"),
        (NOISE, "application/x-anything"),
        (NOISE, "audio/mpeg"),
    ] {
        assert_eq!(detected(bytes, claimed, "a").warning, None, "{claimed}");
    }
    let encrypted = compound_file(0, "EncryptedPackage");
    let claimed = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    assert_eq!(detected(&encrypted, claimed, "a.docx").warning, None);
}

#[test]
fn a_lie_is_warned_about() {
    let archive = zip(&[("a.txt", b"hello", false)]);
    let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    for (bytes, claimed, found) in [
        (EXE, "image/png", "application/vnd.microsoft.portable-executable"),
        (EXE, "text/plain", "application/vnd.microsoft.portable-executable"),
        (PNG, "image/jpeg", "image/png"),
        (PDF, "text/plain", "application/pdf"),
        (b"%PDF-1.4\n", "text/plain", "application/pdf"),
        (MP4, "audio/mpeg", "video/mp4"),
        (WEBM, "video/mp4", "video/webm"),
        (&archive, "application/pdf", "application/zip"),
        (&archive, "image/png", "application/zip"),
        (&archive, word, "application/zip"),
        (b"hello", "image/png", "text/plain"),
        (b"hello", "application/zip", "text/plain"),
        (b"hello", "application/pdf", "text/plain"),
        (b"hello", "video/mp4", "text/plain"),
        (b"hello", "font/woff2", "text/plain"),
        (b"hello", "image/svg+xml", "text/plain"),
        (b"<!doctype html>", "image/png", "text/html"),
        (b"<svg/>", "image/png", "image/svg+xml"),
        (NOISE, "text/plain", UNKNOWN),
        (NOISE, "application/json", UNKNOWN),
        (NOISE, "image/png", UNKNOWN),
        (NOISE, "application/pdf", UNKNOWN),
    ] {
        let detected = detected(bytes, claimed, "a");
        assert_eq!(detected.media_type.as_str(), found, "{claimed}");
        let warning = detected.warning.unwrap_or_else(|| panic!("{claimed} {found}"));
        assert!(warning.contains(claimed), "{warning}");
    }
    let warning = detected(EXE, "image/png", "a").warning.unwrap();
    assert_eq!(
        warning,
        "the client says that the file is image/png, but its bytes are application/vnd.microsoft.portable-executable"
    );
    let warning = detected(NOISE, "image/png", "a").warning.unwrap();
    assert_eq!(warning, "the client says that the file is image/png, but its bytes are of no known format");
}

#[test]
fn only_the_first_bytes_are_looked_at() {
    let mut text = vec![b'a'; DETECTION_BYTES];
    text.push(0);
    assert_eq!(media_type(&text, "", "a"), "text/plain");
    // The last character may be cut there.
    let text = "é".repeat(DETECTION_BYTES);
    assert_eq!(media_type(&text.as_bytes()[..=DETECTION_BYTES], "", "a"), "text/plain");
    assert_eq!(media_type(format!("a{text}").as_bytes(), "", "a"), "text/plain");
}

proptest! {
    #[test]
    fn any_bytes_have_a_valid_type(
        start in proptest::sample::select(vec![
            &b""[..], PNG, PDF, MP4, WEBM, b"PK\x03\x04", b"PK\x03\x04\x14\0\x08\0", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            b"<", b"<!doctype", b"<?xml ", b"\xff\xfe", b"ID3\x03", b"OggS",
        ]),
        rest in proptest::collection::vec(any::<u8>(), 0..300),
        cut: proptest::sample::Index,
    ) {
        let bytes = [start, &rest].concat();
        let bytes = &bytes[..cut.index(bytes.len() + 1)];
        for claimed in ["", "image/png", "text/html", "application/zip"] {
            let Detected { media_type, .. } = detected(bytes, claimed, "a.bin");
            prop_assert!(media_type.as_str().parse::<MediaType>().is_ok());
            // What could run a script is never the client's word alone, unless it is only saved.
            if !bytes.is_empty() && claimed == "image/png" && media_type.as_str() == "image/png" {
                prop_assert!(bytes.starts_with(b"\x89PNG"));
            }
        }
    }

    #[test]
    fn any_text_is_textual(text in "[a-z0-9 ,;\n]{1,200}") {
        let found = detected(text.as_bytes(), "", "a").media_type;
        prop_assert!(is_textual(&found), "{found}");
    }
}
