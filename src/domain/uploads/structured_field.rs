//! Dictionaries of structured fields (RFC 9651), as far as digests need them.

use base64::Engine;

use super::tus_metadata::BASE64;

/// Value of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Bytes(Vec<u8>),
    /// Number, text, token, boolean, date or list: nothing that can be a digest.
    Other,
}

/// Error of a text that is no dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a dictionary")]
pub struct NotADictionary;

/// Parses a dictionary. A key that is repeated has its last value; parameters are checked and dropped.
pub(super) fn parse_dictionary(text: &str) -> Result<Vec<(String, Item)>, NotADictionary> {
    let mut rest = Rest(text.trim_matches(' '));
    let mut members: Vec<(String, Item)> = Vec::new();
    if rest.0.is_empty() {
        return Ok(members);
    }
    loop {
        let key = rest.key()?;
        // A key alone is the boolean true.
        let item = if rest.take('=') { rest.member()? } else { Item::Other };
        rest.parameters()?;
        members.retain(|(other, _)| other != key);
        members.push((key.to_owned(), item));
        rest.skip(&[' ', '\t']);
        if rest.0.is_empty() {
            return Ok(members);
        }
        if !rest.take(',') {
            return Err(NotADictionary);
        }
        rest.skip(&[' ', '\t']);
    }
}

/// Part of the text that has not been read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip(&mut self, chars: &[char]) {
        self.0 = self.0.trim_start_matches(chars);
    }

    /// Takes the longest beginning of such bytes, which must be ASCII.
    fn span(&mut self, is_part: impl Fn(u8) -> bool) -> &'a str {
        let end = self.0.bytes().position(|byte| !byte.is_ascii() || !is_part(byte));
        let (span, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        span
    }

    /// Takes what stands before the first `end`, and `end`.
    fn until(&mut self, end: char) -> Result<&'a str, NotADictionary> {
        let (before, rest) = self.0.split_once(end).ok_or(NotADictionary)?;
        self.0 = rest;
        Ok(before)
    }

    fn key(&mut self) -> Result<&'a str, NotADictionary> {
        let is_first = self.0.starts_with(|c: char| c.is_ascii_lowercase() || c == '*');
        let key =
            self.span(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte));
        if is_first { Ok(key) } else { Err(NotADictionary) }
    }

    fn parameters(&mut self) -> Result<(), NotADictionary> {
        while self.take(';') {
            self.skip(&[' ']);
            self.key()?;
            if self.take('=') {
                self.item()?;
            }
        }
        Ok(())
    }

    /// Parses an item, or a list of items in parentheses.
    fn member(&mut self) -> Result<Item, NotADictionary> {
        if !self.take('(') {
            return self.item();
        }
        loop {
            self.skip(&[' ']);
            if self.take(')') {
                return Ok(Item::Other);
            }
            self.item()?;
            self.parameters()?;
            if !self.0.starts_with([' ', ')']) {
                return Err(NotADictionary);
            }
        }
    }

    fn item(&mut self) -> Result<Item, NotADictionary> {
        match self.0.bytes().next().ok_or(NotADictionary)? {
            b':' => {
                self.take(':');
                let bytes = BASE64.decode(self.until(':')?).map_err(|_| NotADictionary)?;
                return Ok(Item::Bytes(bytes));
            }
            b'"' => self.string()?,
            b'%' => self.display_string()?,
            b'?' => {
                self.take('?');
                if !self.take('0') && !self.take('1') {
                    return Err(NotADictionary);
                }
            }
            b'@' | b'-' | b'0'..=b'9' => self.number()?,
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.span(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
            }
            _ => return Err(NotADictionary),
        }
        Ok(Item::Other)
    }

    fn string(&mut self) -> Result<(), NotADictionary> {
        self.take('"');
        loop {
            self.span(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
            if self.take('"') {
                return Ok(());
            }
            let is_escaped = self.take('\\') && (self.take('"') || self.take('\\'));
            if !is_escaped {
                return Err(NotADictionary);
            }
        }
    }

    fn display_string(&mut self) -> Result<(), NotADictionary> {
        let is_text = self.take('%') && self.take('"');
        let text = self.until('"')?;
        if is_text && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            Ok(())
        } else {
            Err(NotADictionary)
        }
    }

    /// Parses a whole or decimal number, or a date, which is a number behind `@`.
    fn number(&mut self) -> Result<(), NotADictionary> {
        self.take('@');
        self.take('-');
        let whole = self.span(|byte| byte.is_ascii_digit());
        let is_fraction = !self.take('.') || !self.span(|byte| byte.is_ascii_digit()).is_empty();
        if (1..=15).contains(&whole.len()) && is_fraction { Ok(()) } else { Err(NotADictionary) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Vec<String>, NotADictionary> {
        Ok(parse_dictionary(text)?.into_iter().map(|(key, _)| key).collect())
    }

    #[test]
    fn every_kind_of_member_is_read() {
        for (text, found) in [
            ("", vec![]),
            ("a", vec!["a"]),
            ("a=1, b=-1.5,c=@1659578233 ,\td=?0", vec!["a", "b", "c", "d"]),
            (r#"a="x, \"y\" \\ z";p=1, b"#, vec!["a", "b"]),
            ("a=tok/en:1, *b_-.*=*", vec!["a", "*b_-.*"]),
            ("a=:YQ==:, b=::", vec!["a", "b"]),
            (r#"a=%"f%c3%bc", b=(), c=(1 "x";q  tok);r, d;x=1; y"#, vec!["a", "b", "c", "d"]),
            ("a=1,b=2,a=3", vec!["b", "a"]),
        ] {
            assert_eq!(keys(text).unwrap(), found, "{text}");
        }
        assert_eq!(parse_dictionary("a=:YQ==:").unwrap(), [("a".to_owned(), Item::Bytes(b"a".to_vec()))]);
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for text in [
            ",",
            "a,",
            "a,,b",
            "a=",
            "a b",
            "A=1",
            "1=a",
            "=1",
            "a=:YQ",
            "a=:!:",
            "a=\"x",
            r#"a="\x""#,
            "a=\"é\"",
            "a=?2",
            "a=(1",
            "a=(1,2)",
            "a=(\"x\"1)",
            "a=1.",
            "a=-",
            "a=1234567890123456",
            "a;",
            "a;=1",
            "a=é",
            "é",
            "a=%x",
            "a=%\"é\"",
            "\t",
            "a=)",
        ] {
            assert_eq!(keys(text), Err(NotADictionary), "{text}");
        }
    }
}
