//! Members of a JSON object from another program: each is read by itself, so that one of no importance can't spoil the rest.
//!
//! serde's derived structs refuse the whole for one member of a wrong type, a lone surrogate or a number too large, and take
//! arrays for objects.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Value;

/// UTF-8's byte order mark: RFC 8259 §8.1 lets readers ignore it.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Without a byte order mark at its beginning.
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BOM).unwrap_or(bytes)
}

/// Reason why a value is not an object.
#[derive(Debug, thiserror::Error)]
pub enum NotAnObject {
    #[error("it is no JSON object")]
    OtherType,
    #[error("it is no JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("it is no JSON: {what} expected at byte {at}")]
    Delimiter { what: &'static str, at: usize },
}

/// A member's value that can't be what is asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not {wanted}")]
pub struct WrongType {
    pub name: String,
    pub wanted: &'static str,
}

/// The members whose names are asked for, as they are written. Of several with one name the last counts.
#[derive(Debug)]
pub struct Members<'a> {
    found: Vec<(&'static str, &'a [u8])>,
}

impl<'a> Members<'a> {
    /// Checks the syntax of the whole object; nesting has no limit, because nothing is built from what is skipped.
    pub fn read(json: &'a [u8], names: &[&'static str]) -> Result<Self, NotAnObject> {
        let mut at = Cursor { json: without_bom(json), at: 0 };
        let mut found = Vec::with_capacity(names.len());
        if at.peek() != Some(b'{') {
            // Says what is wrong with the syntax, if that is it.
            at.value()?;
            return Err(NotAnObject::OtherType);
        }
        at.at += 1;
        if at.peek() == Some(b'}') {
            at.at += 1;
        } else {
            loop {
                if at.peek() != Some(b'"') {
                    return Err(at.expected("a member's name"));
                }
                let name = text(at.value()?);
                at.take(b':', "a colon")?;
                let value = at.value()?;
                if let Some(known) = names.iter().find(|known| name.as_deref() == Some(**known)) {
                    found.push((*known, value));
                }
                if at.peek() == Some(b',') {
                    at.at += 1;
                    continue;
                }
                at.take(b'}', "a comma or the object's end")?;
                break;
            }
        }
        if at.peek().is_some() { Err(at.expected("the end")) } else { Ok(Self { found }) }
    }

    /// `None`: absent, `null`, or an empty string, which languages without "absent" write instead.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let last = self.found.iter().rev().find(|(known, _)| *known == name)?.1;
        (last != b"null" && last != b"\"\"").then_some(last)
    }

    /// A string as it is; for a member that decides. Empty ones count.
    pub fn text(&self, name: &str) -> Result<Option<String>, WrongType> {
        let last = self.found.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value);
        match last.filter(|value| *value != b"null") {
            None => Ok(None),
            Some(value) => match serde_json::from_slice(value) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(wrong(name, "a string")),
            },
        }
    }

    /// A whole number; for a member that decides. `1.0` is one: JSON has one type of number.
    pub fn whole(&self, name: &str) -> Result<Option<i64>, WrongType> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let is_number = value.first().is_some_and(|byte| matches!(byte, b'-' | b'0'..=b'9'));
        let whole = if is_number { number(value) } else { None };
        whole.map(Some).ok_or_else(|| wrong(name, "a whole number"))
    }

    /// Text for people, from whatever is there; `None` when nothing is.
    pub fn lossy_text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        let text = text(value).unwrap_or_else(|| String::from_utf8_lossy(value).into_owned().into());
        Some(text.into_owned()).filter(|text| !text.is_empty())
    }

    /// A number as near as it can be understood: rounded, and from a string too. `None` for anything else.
    pub fn about(&self, name: &str) -> Option<i64> {
        let value = self.get(name)?;
        let text = text(value);
        let digits = text.as_deref().map_or(value, |text| text.trim().as_bytes());
        number(digits).or_else(|| rounded(digits))
    }
}

fn wrong(name: &str, wanted: &'static str) -> WrongType {
    WrongType { name: name.to_owned(), wanted }
}

/// A whole number, written as such or as `1.0` or `1e3`.
fn number(json: &[u8]) -> Option<i64> {
    let value: Value = serde_json::from_slice(json).ok()?;
    value.as_i64().or_else(|| exact(value.as_f64()?))
}

fn rounded(json: &[u8]) -> Option<i64> {
    let value: Value = serde_json::from_slice(json).ok()?;
    exact(value.as_f64()?.round())
}

/// Up to 2^53, below which every whole number is a float of its own.
#[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
fn exact(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= LIMIT).then_some(number as i64)
}

/// Reads a JSON string. Half of a surrogate pair, which JavaScript may write, becomes one U+FFFD.
fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    if json.first() != Some(&b'"') {
        return None;
    }
    if let Ok(text) = serde_json::from_slice::<String>(json) {
        return Some(text.into());
    }
    let mut bytes: serde_bytes_like::Bytes = serde_json::from_slice(json).ok()?;
    replace_surrogates(&mut bytes.0);
    Some(String::from_utf8_lossy(&bytes.0).into_owned().into())
}

/// Replaces each surrogate by U+FFFD. `serde_json` keeps surrogates as three bytes that are not UTF-8, for each of which
/// `from_utf8_lossy` would write a U+FFFD of its own.
fn replace_surrogates(bytes: &mut [u8]) {
    let mut rest = bytes;
    while let Some(at) = rest.windows(3).position(|next| matches!(next, [0xed, 0xa0..=0xbf, 0x80..=0xbf])) {
        rest[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        rest = &mut rest[at + 3..];
    }
}

/// `Vec<u8>` that serde reads from a string's bytes.
mod serde_bytes_like {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, Error, Visitor};

    /// Bytes of a JSON string, which need not be UTF-8.
    pub struct Bytes(pub Vec<u8>);

    struct OfString;

    impl Visitor<'_> for OfString {
        type Value = Bytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
            Ok(Bytes(bytes.to_vec()))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
            Ok(Bytes(text.as_bytes().to_vec()))
        }
    }

    impl<'de> Deserialize<'de> for Bytes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_bytes(OfString)
        }
    }
}

struct Cursor<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.json[self.at..];
        let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += spaces;
        rest.get(spaces).copied()
    }

    fn take(&mut self, byte: u8, what: &'static str) -> Result<(), NotAnObject> {
        if self.peek() != Some(byte) {
            return Err(self.expected(what));
        }
        self.at += 1;
        Ok(())
    }

    fn expected(&self, what: &'static str) -> NotAnObject {
        NotAnObject::Delimiter { what, at: self.at }
    }

    /// Skips one value and returns its bytes.
    fn value(&mut self) -> Result<&'a [u8], NotAnObject> {
        self.peek();
        let rest = &self.json[self.at..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(IgnoredAny)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err(self.expected("a value")),
        }
        let length = values.byte_offset();
        self.at += length;
        Ok(&rest[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn members(json: &str) -> Members<'_> {
        Members::read(json.as_bytes(), &NAMES).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn only_whole_objects_are_taken() {
        let deep = format!("{{\"x\":{}1{},\"a\":1}}", "[".repeat(10_000), "]".repeat(10_000));
        for json in [
            "{}",
            " {\n} \r\t",
            "\u{feff}{\"a\":1}",
            r#"{"a":1,"x":[{"a":2}],"b":"}","c":null}"#,
            r#"{"x":1e999,"a":1,"\ud800":"\ud800"}"#,
            &deep,
        ] {
            members(json);
        }
        for json in [
            "",
            " ",
            "\u{feff}",
            "\u{feff}\u{feff}{}",
            "null",
            "[]",
            "[62]",
            "\"{}\"",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1}{}",
            "{\"a\":1}]",
            "{\"a\":1 \"b\":2}",
            "{\"a\":01}",
            "{'a':1}",
            "{\"a\":\"\n\"}",
        ] {
            assert!(Members::read(json.as_bytes(), &NAMES).is_err(), "{json:?}");
        }
        assert!(Members::read(&b"[".repeat(1 << 20), &NAMES).is_err());
    }

    #[test]
    fn a_member_that_decides_is_read_strictly() {
        let whole = |value: &str| members(&format!("{{\"a\":{value}}}")).whole("a");
        for (value, number) in
            [("1", 1), ("1.0", 1), ("1e2", 100), ("-1", -1), ("9223372036854775807", i64::MAX)]
        {
            assert_eq!(whole(value), Ok(Some(number)), "{value}");
        }
        for value in ["null", "\"\""] {
            assert_eq!(whole(value), Ok(None), "{value}");
        }
        for value in ["\"1\"", "1.5", "9223372036854775808", "1e999", "true", "[1]", "{}"] {
            assert!(whole(value).is_err(), "{value}");
        }
        let text = |value: &str| members(&format!("{{\"a\":{value}}}")).text("a");
        assert_eq!(text("\"\""), Ok(Some(String::new())));
        assert_eq!(text("null"), Ok(None));
        assert!(text("1").is_err() && text("\"\\ud800\"").is_err());
    }

    #[test]
    fn a_member_for_people_is_read_as_well_as_can_be() {
        let about = |value: &str| members(&format!("{{\"a\":{value}}}")).about("a");
        for (value, number) in [("12.7", 13), ("\"12\"", 12), ("\" 12.2 \"", 12), ("0", 0), ("-3", -3)] {
            assert_eq!(about(value), Some(number), "{value}");
        }
        for value in ["null", "\"\"", "\"x\"", "1e999", "1e300", "9223372036854775808", "[]", "{}", "true"] {
            assert_eq!(about(value), None, "{value}");
        }
        let text = |value: &str| members(&format!("{{\"a\":{value}}}")).lossy_text("a");
        for (value, shown) in [
            ("\"b\\u0000o\\ud83d\"", "b\0o\u{fffd}"),
            ("\"\\ude00\\ud83d!\"", "\u{fffd}\u{fffd}!"),
            ("\"\\ud83d\\ude00\\ud83d\"", "😀\u{fffd}"),
            ("\"é\\udfff퟿\"", "é\u{fffd}\u{d7ff}"),
        ] {
            assert_eq!(text(value).as_deref(), Some(shown), "{value}");
        }
        assert_eq!(text("{\"code\":1}").as_deref(), Some("{\"code\":1}"));
        assert_eq!(text("1e999").as_deref(), Some("1e999"));
        assert_eq!(text("\"\""), None);
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        assert_eq!(members(r#"{"a":1,"\u0061":2}"#).whole("a"), Ok(Some(2)));
    }
}
