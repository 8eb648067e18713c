//! Query strings and forms: pairs that must be UTF-8 after percent-decoding, so that no character is ever replaced.

use std::str::from_utf8;

use actix_web::HttpRequest;
use actix_web::web;
use serde::de::DeserializeOwned;

use crate::domain::{Error, ErrorCode};

/// Reads the query of the request's address. A parameter that `T` has may come once.
pub(in crate::http) fn read<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Error> {
    parse(request.query_string().as_bytes()).map_err(|cause| Error::new(ErrorCode::InvalidQuery, cause))
}

/// Reads the query like [`read`], with an error for people at a page.
pub(in crate::http) fn read_for_page<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Error> {
    read(request).map_err(|cause| {
        let detail = "the query of this address can't be read: each parameter may come once, in UTF-8";
        Error::new(ErrorCode::InvalidQuery, detail).because(cause)
    })
}

/// Parses pairs as browsers encode them. The error says what is wrong, for people.
pub(super) fn parse<T: DeserializeOwned>(encoded: &[u8]) -> Result<T, String> {
    let text = from_utf8(encoded).ok().filter(|text| decodes_to_utf8(text));
    let text = text.ok_or("it is not UTF-8 after percent-decoding")?;
    web::Query::from_query(text).map(web::Query::into_inner).map_err(|cause| cause.to_string())
}

/// Tells whether the text is UTF-8 once it is percent-decoded. A `%` without two digits after it stands for itself.
fn decodes_to_utf8(text: &str) -> bool {
    if !text.contains('%') {
        return true;
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = match tail {
            [high, low, ..] if *first == b'%' => hex_byte(*high, *low),
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    from_utf8(&decoded).is_ok()
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        q: String,
    }

    #[test]
    fn only_utf_8_is_decoded() {
        let q = |text: &[u8]| parse::<Pair>(text).map(|pair| pair.q);
        for (text, decoded) in [
            ("q=caf%C3%A9", "café"),
            ("q=caf%c3%a9+%F0%9F%98%80", "café 😀"),
            ("q=café", "café"),
            ("q=%EF%BF%BD", "\u{fffd}"),
            ("q=100%", "100%"),
            ("q=%zz%1", "%zz%1"),
            ("q=%25C3", "%C3"),
        ] {
            assert_eq!(q(text.as_bytes()).as_deref(), Ok(decoded), "{text}");
        }
        for text in [
            "q=caf%E9",
            "q=%C3",
            "q=%A9",
            "q=%C3&x=%A9",
            "q=%C0%80",
            "q=%ED%A0%80",
            "q=%F5%80%80%80",
            "q=a&x=%FF",
            "%FF=1&q=a",
            "q=%C3+%A9",
            "q=%E9",
            "q=1&q=2",
        ] {
            assert!(q(text.as_bytes()).is_err(), "{text}");
        }
        assert!(q(b"q=caf\xe9").is_err());
    }
}
