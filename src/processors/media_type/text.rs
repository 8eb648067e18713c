//! Files of characters: their encoding, and markup languages by the name of the first element.

/// Kind of bytes, by whether they can be characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Empty,
    Utf8,
    /// Not UTF-8, but without the bytes that no text has; UTF-16 if it says so.
    Legacy,
    Binary,
}

/// Finds the encoding. The last character may be cut.
pub(super) fn encoding(bytes: &[u8]) -> Encoding {
    if bytes.is_empty() {
        return Encoding::Empty;
    }
    if let [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] = bytes {
        let is_little = bytes[0] == 0xff;
        let units = rest.as_chunks::<2>().0.iter();
        let units =
            units.map(|unit| if is_little { u16::from_le_bytes(*unit) } else { u16::from_be_bytes(*unit) });
        let mut characters = char::decode_utf16(units);
        let is_text =
            characters.all(|c| c.map_or_else(|_| rest.len() > 2, |c| !u8::try_from(c).is_ok_and(is_binary)));
        return if is_text { Encoding::Legacy } else { Encoding::Binary };
    }
    if bytes.iter().copied().any(is_binary) {
        return Encoding::Binary;
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Encoding::Utf8,
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => Encoding::Utf8,
        Err(_) => Encoding::Legacy,
    }
}

/// Tells whether no text has the byte: control characters other than white space and the escape of terminals.
const fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

/// Finds HTML, SVG and other XML: by the declaration, or by the name of the first element.
pub(super) fn markup(bytes: &[u8]) -> Option<&'static str> {
    let mut rest = skip_space(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let is_declared = starts_with(rest, b"<?xml") && rest.get(5).is_some_and(u8::is_ascii_whitespace);
    let default = is_declared.then_some("text/xml");
    loop {
        let end: &[u8] = match rest {
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', ..] if starts_with(rest, b"<!doctype") => {
                let name = element_name(skip_space(&rest[b"<!doctype".len()..]));
                if let Some(found) = of_root(name, is_declared) {
                    return Some(found);
                }
                // Its own declarations stand in brackets.
                let bracket = rest.iter().position(|byte| matches!(byte, b'[' | b'>'));
                if bracket.is_some_and(|at| rest[at] == b'[') { b"]>" } else { b">" }
            }
            [b'<', name @ ..] => return of_root(element_name(name), is_declared).or(default),
            _ => return default,
        };
        let Some(at) = rest.windows(end.len()).position(|window| window == end) else { return default };
        rest = skip_space(&rest[at + end.len()..]);
    }
}

fn of_root(name: &[u8], is_declared: bool) -> Option<&'static str> {
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
    if local.eq_ignore_ascii_case(b"svg") {
        Some("image/svg+xml")
    } else if local.eq_ignore_ascii_case(b"html") && is_declared {
        Some("application/xhtml+xml")
    } else if [&b"html"[..], b"head", b"body"].iter().any(|html| local.eq_ignore_ascii_case(html))
        && !is_declared
    {
        Some("text/html")
    } else {
        None
    }
}

/// The name of an element, with its prefix.
fn element_name(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b":_-.".contains(byte)));
    &bytes[..end.unwrap_or(bytes.len())]
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

fn starts_with(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Tells whether bytes that are characters can be of a format that was found by its signature. Many signatures of other formats
/// are words that texts begin with.
pub(super) fn can_be(media_type: &str, bytes: &[u8]) -> bool {
    match media_type {
        // What follows `%!` is a comment elsewhere.
        "application/postscript" => bytes.starts_with(b"%!PS"),
        "text/plain" | "text/wasm" | "text/html" | "text/xml" => false,
        "application/pdf"
        | "application/rtf"
        | "application/x-pem-file"
        | "application/pgp"
        | "application/pgp-keys"
        | "application/pgp-signature" => true,
        other => other.starts_with("text/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_without_control_characters_are_text() {
        for (bytes, found) in [
            (&b""[..], Encoding::Empty),
            (b"a", Encoding::Utf8),
            (b"\t\r\n\x0c\x1b[0m", Encoding::Utf8),
            ("\u{feff}é日😀".as_bytes(), Encoding::Utf8),
            (&"aé".as_bytes()[..2], Encoding::Utf8),
            (&"a😀".as_bytes()[..4], Encoding::Utf8),
            (&"é".as_bytes()[..1], Encoding::Legacy),
            (b"caf\xe9 au lait", Encoding::Legacy),
            (b"\xff\xfea\0b\0\r\0\n\0", Encoding::Legacy),
            (b"\xfe\xff\0a\0b", Encoding::Legacy),
            (b"\xff\xfe\0\0\x01\0", Encoding::Binary),
            (b"a\0", Encoding::Binary),
            (b"a\x01", Encoding::Binary),
            (b"\x1f\x8b", Encoding::Binary),
        ] {
            assert_eq!(encoding(bytes), found, "{bytes:?}");
        }
    }

    #[test]
    fn markup_is_found_by_its_first_element() {
        for (text, found) in [
            ("<!DOCTYPE html><p>", Some("text/html")),
            ("\u{feff}\n <!doctype HTML PUBLIC \"x\">", Some("text/html")),
            ("<HTML lang=de>", Some("text/html")),
            ("<!-- a --> <!-- <svg> --><body>", Some("text/html")),
            ("<svg xmlns=\"x\">", Some("image/svg+xml")),
            ("<?xml version=\"1.0\"?><!-- a --><svg/>", Some("image/svg+xml")),
            ("<?xml version=\"1.0\"?>\n<!DOCTYPE svg PUBLIC \"x\" \"y\">", Some("image/svg+xml")),
            ("<!DOCTYPE x [<!ENTITY a \"<svg>\">]><s:svg/>", Some("image/svg+xml")),
            ("<?xml version='1.0'?><html xmlns=\"x\">", Some("application/xhtml+xml")),
            ("<?xml version='1.0'?><rss/>", Some("text/xml")),
            ("<?xml version='1.0'?>", Some("text/xml")),
            ("<?xml version='1.0'?><!-- never ends", Some("text/xml")),
            ("<?xml-stylesheet?><a/>", None),
            ("<?php echo 1;", None),
            ("<?php ?><html>", Some("text/html")),
            ("<h1 align=center>README</h1>", None),
            ("<p>fragment</p>", None),
            ("<script>", None),
            ("<svgx>", None),
            ("a <svg>", None),
            ("<", None),
            ("<!", None),
            ("<!doctype", None),
            ("<!---->", None),
            ("", None),
        ] {
            assert_eq!(markup(text.as_bytes()), found, "{text:?}");
        }
    }
}
