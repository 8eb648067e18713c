//! Content negotiation (RFC 9110 §12): the media type and content coding that a client prefers, by quality values.

use actix_web::HttpRequest;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::domain::{Error, ErrorCode};

/// Quality value in thousandths. 0: not acceptable.
type Quality = u16;

const MAX: Quality = 1000;
/// Quality of what is acceptable without being listed.
const MIN: Quality = 1;

/// Chooses the coding of the answer and leaves only that one in `Accept-Encoding`, by which the compression middleware then goes.
/// Fails with 406 when the client accepts no coding that the server has.
pub(super) fn choose_coding(request: &mut ServiceRequest) -> Result<(), Error> {
    let Codings { gzip, identity } = Codings::read(request.headers());
    if gzip > 0 && gzip >= identity {
        let value = if identity > 0 { GZIP } else { GZIP_ONLY };
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
    } else if identity > 0 {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    } else {
        let detail = "Accept-Encoding must allow gzip or identity";
        return Err(Error::new(ErrorCode::NotAcceptable, detail));
    }
    Ok(())
}

const GZIP: &str = "gzip";
const GZIP_ONLY: &str = "gzip, identity;q=0";

/// Tells whether `choose_coding` has chosen gzip.
pub(super) fn is_gzipped(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ACCEPT_ENCODING)
}

/// Tells whether the answer may be sent without a coding.
pub(super) fn accepts_identity(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT_ENCODING).is_none_or(|value| value != GZIP_ONLY)
}

/// Tells whether an error is rendered as a page: the client prefers HTML to JSON, or has no preference and asked for a
/// page's address.
pub(super) fn wants_page(request: &HttpRequest) -> bool {
    let path = request.path();
    prefers_page(request.headers(), path == "/" || path.starts_with("/ui/"))
}

/// Tells whether HTML has a higher quality than JSON. If both have the same, `is_page` decides.
fn prefers_page(headers: &HeaderMap, is_page: bool) -> bool {
    let ranges = || elements(headers, &header::ACCEPT).filter_map(Element::parse);
    if ranges().next().is_none() {
        return is_page;
    }
    let html = media_quality(ranges(), "text", "html");
    let problem = media_quality(ranges(), "application", "problem+json");
    let json = problem.max(media_quality(ranges(), "application", "json"));
    if html == json { is_page } else { html > json }
}

/// Returns the quality of the most specific range that includes the media type (RFC 9110 §12.5.1).
fn media_quality<'a>(ranges: impl Iterator<Item = Element<'a>>, kind: &str, subtype: &str) -> Quality {
    let mut best = (0, 0);
    for Element { value, parameters, quality } in ranges {
        let Some((range, sub)) = value.split_once('/') else { continue };
        let specificity = match (range, sub) {
            ("*", "*") => 1,
            (_, "*") if range.eq_ignore_ascii_case(kind) => 2,
            _ if range.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => 3,
            _ => continue,
        };
        let specificity = match parameters {
            Parameters::None => specificity,
            Parameters::Utf8 => specificity + 3,
            Parameters::Other => continue,
        };
        best = best.max((specificity, quality));
    }
    best.1
}

#[derive(Debug, PartialEq, Eq)]
struct Codings {
    gzip: Quality,
    identity: Quality,
}

impl Codings {
    /// Reads `Accept-Encoding` by RFC 9110 §12.5.3. A value that can't be parsed is ignored.
    fn read(headers: &HeaderMap) -> Self {
        if !headers.contains_key(header::ACCEPT_ENCODING) {
            return Self { gzip: 0, identity: MAX };
        }
        let (mut gzip, mut identity, mut any) = (None, None, None);
        for Element { value, quality, .. } in
            elements(headers, &header::ACCEPT_ENCODING).filter_map(Element::parse)
        {
            let listed = if value.eq_ignore_ascii_case("gzip") || value.eq_ignore_ascii_case("x-gzip") {
                &mut gzip
            } else if value.eq_ignore_ascii_case("identity") {
                &mut identity
            } else if value == "*" {
                &mut any
            } else {
                continue;
            };
            // Of a coding that is listed twice, as `gzip` and `x-gzip` are, the higher quality counts.
            *listed = (*listed).max(Some(quality));
        }
        // Identity is acceptable unless it is excluded, by name or by `*;q=0`.
        Self { gzip: gzip.or(any).unwrap_or(0), identity: identity.or(any).unwrap_or(MIN) }
    }
}

/// Element of a list with quality values.
struct Element<'a> {
    value: &'a str,
    parameters: Parameters,
    quality: Quality,
}

enum Parameters {
    None,
    /// Only `charset=utf-8`, which the answers of this service have.
    Utf8,
    Other,
}

impl<'a> Element<'a> {
    /// Parses an element. Returns `None` when its quality is malformed: such an element is ignored.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = split(text, ';', true);
        let value = parts.next().map(str::trim).filter(|value| !value.is_empty())?;
        let (mut parameters, mut quality) = (Parameters::None, MAX);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = name.trim_start();
            if name.eq_ignore_ascii_case("q") {
                quality = parse_quality(value.trim_end())?;
                break;
            }
            let value = value.trim_end().trim_matches('"');
            let is_utf8 = name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8");
            parameters = match parameters {
                Parameters::None | Parameters::Utf8 if is_utf8 => Parameters::Utf8,
                _ if part.trim().is_empty() => parameters,
                Parameters::None | Parameters::Utf8 | Parameters::Other => Parameters::Other,
            };
        }
        Some(Self { value, parameters, quality })
    }
}

/// Parses a number from 0 to 1 with up to three decimals.
fn parse_quality(text: &str) -> Option<Quality> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits = decimals.bytes().chain(std::iter::repeat(b'0')).take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + Quality::from(digit - b'0'));
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(MAX),
        _ => None,
    }
}

/// Splits a comma-separated header into its elements, over all its lines.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).filter_map(|value| value.to_str().ok()).flat_map(|line| split(line, ',', true))
}

/// Splits at a separator outside of quoted strings. With `escapes`, a backslash in them escapes the next character.
pub(super) fn split(text: &str, separator: char, escapes: bool) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c: char| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        match c {
            '\\' if is_quoted && escapes => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return c == separator && !is_quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let request = lines
            .iter()
            .fold(TestRequest::get(), |request, line| request.append_header((name.clone(), *line)));
        request.to_http_request().headers().clone()
    }

    #[test]
    fn the_coding_with_the_higher_quality_is_chosen() {
        for (lines, gzip, identity) in [
            (&[] as &[&str], 0, 1000),
            (&[""], 0, 1),
            (&["gzip"], 1000, 1),
            (&["GZIP;Q=0.5"], 500, 1),
            (&["x-gzip"], 1000, 1),
            (&["br, zstd"], 0, 1),
            (&["gzip;q=0"], 0, 1),
            (&["gzip;q=0.5, identity"], 500, 1000),
            (&["gzip;q=0.3, identity;q=0.7"], 300, 700),
            (&["identity;q=0"], 0, 0),
            (&["identity;q=0, *"], 1000, 0),
            (&["*;q=0"], 0, 0),
            (&["*;q=0, identity"], 0, 1000),
            (&["*;q=0, gzip"], 1000, 0),
            (&["gzip;q=0, *;q=0.2"], 0, 200),
            (&["br", "gzip"], 1000, 1),
            (&["gzip;q=abc"], 0, 1),
            (&["gzip;q=1.001"], 0, 1),
            (&["gzip ; q=0.25 , ,"], 250, 1),
        ] {
            let found = Codings::read(&headers(&header::ACCEPT_ENCODING, lines));
            assert_eq!(found, Codings { gzip, identity }, "{lines:?}");
        }
    }

    #[test]
    fn an_error_is_a_page_for_those_who_prefer_pages() {
        let chrome = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, api, page) in [
            (&[] as &[&str], false, true),
            (&["*/*"], false, true),
            (&[chrome], true, true),
            (&["application/json"], false, false),
            (&["application/problem+json, text/html;q=0.9"], false, false),
            (&["text/html;q=0, application/json"], false, false),
            (&["text/html;q=0, */*"], false, false),
            (&["text/html;q=0.1, application/json;q=0.2"], false, false),
            (&["application/json;q=0.1, text/html;q=0.2"], true, true),
            (&["text/*, application/json;q=0.9"], true, true),
            (&["text/*;q=0.5, text/html;q=0.1, application/json;q=0.2"], false, false),
            (&["TEXT/HTML"], true, true),
            (&["text/html;charset=utf-8, application/json;q=0.9"], true, true),
            (&["text/html;level=1, application/json;q=0.9"], false, false),
            (&["application/json;x=\"a, text/html\""], false, true),
            (&["text/html, application/json"], false, true),
            (&["application/json", "text/html;q=0.3"], false, false),
            (&["text/htmlx, text/html5"], false, true),
            (&["image/png"], false, true),
            (&["text/html;q=x"], false, true),
            (&["text/html;q=0.0001, application/json;q=0.001"], false, false),
            (&["application/xml;q=0.9, */*;q=0"], false, true),
        ] {
            let headers = headers(&header::ACCEPT, accept);
            assert_eq!(prefers_page(&headers, false), api, "{accept:?} at the API");
            assert_eq!(prefers_page(&headers, true), page, "{accept:?} at a page");
        }
    }
}
