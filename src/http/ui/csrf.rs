//! Proof that a form was sent from our own page: where the browser says it comes from, and a double-submit token.

use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use url::Url;
use uuid::Uuid;

use crate::domain::{Error, ErrorKind, Result};

pub const COOKIE: &str = "filesys_csrf";
const TOKEN_BYTES: usize = 32;

/// The value of a form's `csrf_token` field, and the cookie to set when the browser had none.
pub struct Token {
    pub value: String,
    pub cookie: Option<Cookie<'static>>,
}

/// The browser's token, so that forms open in several tabs all stay valid; otherwise a fresh one.
pub fn token(request: &HttpRequest) -> Token {
    if let Some(value) = kept(request) {
        return Token { value, cookie: None };
    }
    let value = fresh();
    let cookie =
        Cookie::build(COOKIE, value.clone()).path("/").http_only(true).same_site(SameSite::Strict).finish();
    Token { value, cookie: Some(cookie) }
}

/// The browser's token, for a part of a page that gave it one.
pub fn kept(request: &HttpRequest) -> Option<String> {
    let kept = request.cookie(COOKIE).map(|cookie| cookie.value().to_owned());
    kept.filter(|value| is_well_formed(value))
}

/// Errors are `Forbidden`, code `cross_site_form`. A client that sends neither `Sec-Fetch-Site` nor `Origin` is no
/// browser of this decade; it still needs the token.
pub fn check(request: &HttpRequest, field: &str) -> Result<()> {
    let from_here = comes_from_here(request);
    let cookie = request.cookie(COOKIE);
    let expected = cookie.as_ref().map(Cookie::value).unwrap_or_default();
    let same = bool::from(expected.as_bytes().ct_eq(field.as_bytes()));
    if from_here && is_well_formed(expected) && same {
        return Ok(());
    }
    let detail = "this form was sent from another site, or its page was open for too long; \
                  go back, reload the page and send the form again";
    Err(Error::new(ErrorKind::Forbidden, "cross_site_form", detail))
}

fn comes_from_here(request: &HttpRequest) -> bool {
    let header = |name| {
        request.headers().get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or_default())
    };
    if let Some(site) = header(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin" || site == "none";
    }
    match (header(header::ORIGIN), header(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => authority(origin).is_some_and(|ours| ours.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
    }
}

/// `host` or `host:port` of an `Origin`, the scheme's own port left out as browsers do in `Host`.
fn authority(origin: &str) -> Option<String> {
    let url = Url::parse(origin).ok()?;
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn is_well_formed(value: &str) -> bool {
    BASE64_URL_SAFE_NO_PAD.decode(value).is_ok_and(|bytes| bytes.len() == TOKEN_BYTES)
}

/// 244 bits from the operating system: a version 4 UUID is random but for six bits.
fn fresh() -> String {
    BASE64_URL_SAFE_NO_PAD.encode([Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn post(headers: &[(&'static str, &str)], cookie: &str) -> HttpRequest {
        let base = TestRequest::post().cookie(Cookie::new(COOKIE, cookie.to_owned()));
        let filled =
            headers.iter().fold(base, |request, (name, value)| request.insert_header((*name, *value)));
        filled.to_http_request()
    }

    #[test]
    fn a_form_of_our_own_page_passes() {
        let token = fresh();
        for headers in [
            &[("sec-fetch-site", "same-origin"), ("origin", "http://ignored")] as &[_],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://localhost:3006"), ("host", "LOCALHOST:3006")],
            &[("origin", "https://files.example"), ("host", "files.example")],
            &[("host", "localhost:3006")],
        ] {
            assert!(check(&post(headers, &token), &token).is_ok(), "{headers:?}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_refused_even_with_the_token() {
        let token = fresh();
        for headers in [
            &[("sec-fetch-site", "cross-site")] as &[_],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://localhost:4000"), ("host", "localhost:3006")],
            &[("origin", "null"), ("host", "localhost:3006")],
            &[("origin", "http://localhost:3006")],
        ] {
            let refused = check(&post(headers, &token), &token).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Forbidden, "{headers:?}");
        }
    }

    #[test]
    fn a_missing_empty_or_other_token_is_refused() {
        let token = fresh();
        for (cookie, field) in
            [("", ""), (token.as_str(), ""), ("", token.as_str()), (&token, &fresh()), ("x", "x")]
        {
            assert!(check(&post(&[], cookie), field).is_err(), "{cookie:?} {field:?}");
        }
        let bare = TestRequest::post().to_http_request();
        assert!(check(&bare, "").is_err());
    }

    #[test]
    fn a_token_is_made_once_for_a_browser_and_never_readable_by_scripts() {
        let first = token(&TestRequest::get().to_http_request());
        let cookie = first.cookie.unwrap();
        assert_eq!(
            cookie.to_string(),
            format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", first.value)
        );
        let again = token(&post(&[], &first.value));
        assert_eq!(again.value, first.value);
        assert!(again.cookie.is_none());
        assert_ne!(fresh(), fresh());
        let forged = token(&post(&[], "short"));
        assert!(forged.cookie.is_some());
    }
}
