//! Escaping of log lines: a foreign value can't begin a new line, move the cursor or reverse the text.

use std::fmt::{self, Write};
use std::io;

/// Writes text with every character escaped, as in JSON, that a terminal, an editor or a log reader acts upon.
pub(super) struct Escaped<'a, W>(pub &'a mut W);

impl<W: io::Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some((at, c)) = text.char_indices().find(|(_, c)| is_acted_upon(*c)) {
            self.plain(&text[..at])?;
            let escape = match c {
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\t' => "\\t".to_owned(),
                // Four digits are enough: all of these characters are in the basic plane.
                _ => format!("\\u{:04x}", u32::from(c)),
            };
            self.plain(&escape)?;
            text = &text[at + c.len_utf8()..];
        }
        self.plain(text)
    }
}

impl<W: io::Write> Escaped<'_, W> {
    fn plain(&mut self, text: &str) -> fmt::Result {
        self.0.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Tells whether programs act upon the character: control characters of ASCII and C1, separators of lines and
/// paragraphs, direction and byte order marks.
fn is_acted_upon(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forges_lines_is_escaped_and_the_rest_is_not() {
        for (text, expected) in [
            ("a\n[2026] b\r\tc", "a\\n[2026] b\\r\\tc"),
            ("\u{1b}[2K\u{7f}\u{85}\u{0}", "\\u001b[2K\\u007f\\u0085\\u0000"),
            ("\u{2028}\u{2029}\u{202e}\u{2066}\u{feff}", "\\u2028\\u2029\\u202e\\u2066\\ufeff"),
            ("日本 é \u{1f600} \\n \"q\"", "日本 é \u{1f600} \\n \"q\""),
            ("", ""),
        ] {
            let mut out = Vec::new();
            Escaped(&mut out).write_str(text).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
