//! Names of downloads, made for other people's file systems: of a title, the file's id and its extension.

use crate::domain::{FileId, text};

/// Bytes of a whole name. Most file systems take 255; ` (1)` and `.crdownload` must fit behind it.
const MAX_BYTES: usize = 240;

/// What a browser takes (`filename*`), and what others do (`filename`).
pub(super) struct DownloadName {
    pub full: String,
    /// ASCII without what would have to be escaped. Says the id where it is not exactly the title.
    pub ascii: String,
}

impl DownloadName {
    pub fn of(title: &str, id: FileId, extension: &str) -> Self {
        let stem = stem(title);
        let nameless = || format!("file-{id}");
        let room = MAX_BYTES - extension.len() - 1;
        let full = match stem.as_str() {
            stem if !text::has_visible(stem) => nameless(),
            stem if stem.len() > room => numbered(stem, id, room),
            stem => stem.to_owned(),
        };
        let ascii = ascii(&stem);
        let ascii = match ascii.as_str() {
            ascii if !ascii.bytes().any(|b| b.is_ascii_alphanumeric()) => nameless(),
            ascii if ascii == title && ascii.len() <= room => ascii.to_owned(),
            ascii => numbered(ascii, id, room),
        };
        Self { full: format!("{full}.{extension}"), ascii: format!("{ascii}.{extension}") }
    }
}

/// The title without what a file system, a shell or a reader of names may take for something else.
fn stem(title: &str) -> String {
    let cleaned: String = title.chars().filter_map(clean).collect();
    // Leading dots hide a file; Windows drops dots and spaces at the end.
    let trimmed = cleaned.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' ']);
    // A dash begins an option, a tilde somebody's home.
    let is_taken = trimmed.starts_with(['-', '~']) || is_reserved(trimmed);
    if is_taken { format!("_{trimmed}") } else { trimmed.to_owned() }
}

/// `None`: it is left out.
fn clean(c: char) -> Option<char> {
    match c {
        '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*' => Some('_'),
        c if c.is_control() || text::is_noncharacter(c) => Some('_'),
        '\u{2028}' | '\u{2029}' => Some(' '),
        // Joiners and tags make emoji and letters what they are; direction marks turn `txt.exe` into `exe.txt`.
        '\u{200c}' | '\u{200d}' | '\u{e0020}'..='\u{e007f}' => Some(c),
        c if text::is_format(c) => None,
        c => Some(c),
    }
}

/// Names that Windows gives to devices, whatever their extension.
fn is_reserved(stem: &str) -> bool {
    let base = stem.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let port = ["COM", "LPT"].iter().find_map(|port| base.strip_prefix(port));
    let is_digit = |rest: &str| {
        let mut digits = rest.chars();
        digits.next().is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c)) && digits.next().is_none()
    };
    matches!(base.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || port.is_some_and(is_digit)
}

/// Each run of other characters becomes one `_`.
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

fn numbered(stem: &str, id: FileId, room: usize) -> String {
    let number = format!("-{id}");
    let mut end = (room - number.len()).min(stem.len());
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
        let DownloadName { full, ascii } = DownloadName::of(title, FileId(7), "txt");
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
    fn a_name_fits_with_its_extension() {
        for title in ["a", "é", "日", "😀", "a\u{301}", "👨\u{200d}", "."] {
            let title = title.repeat(255);
            let (full, ascii) = names(&title);
            assert!(full.len() <= MAX_BYTES && ascii.len() <= MAX_BYTES, "{full}");
            assert!(full.ends_with("7.txt") && ascii.ends_with("7.txt"), "{full} {ascii}");
        }
    }
}
