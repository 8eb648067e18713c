//! Protection against cross-site request forgery: a form must come from a page of this service. The browser's headers say where
//! it comes from; without them its token must match a cookie. docs/SECURITY.md has the reasons.

use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::RequestHead;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::domain::{Error, ErrorCode, Result};
use crate::http::outer::{OuterAddress, Sender};

const TOKEN_BYTES: usize = 32;

/// Value of a form's `csrf_token` field, and the cookie to set if the browser sent none.
pub struct Token {
    pub value: String,
    pub cookie: Option<Cookie<'static>>,
}

/// Returns the cookie's name. Over TLS it has a prefix with which browsers keep other hosts, and with `__Host-` other paths, from
/// setting it.
fn cookie_name(outer: &OuterAddress, head: &RequestHead) -> &'static str {
    match (outer.is_https(head), outer.cookie_path()) {
        (true, "/") => "__Host-filesys_csrf",
        (true, _) => "__Secure-filesys_csrf",
        (false, _) => "filesys_csrf",
    }
}

/// Returns the browser's token, so that forms in several tabs all stay valid, or makes one.
pub fn token(outer: &OuterAddress, request: &HttpRequest) -> Token {
    if let Some(value) = token_from_cookie(outer, request) {
        return Token { value, cookie: None };
    }
    let value = random_token();
    // Lax and not Strict: when a link on another site opens one of these pages, the browser sends the cookie, so that the page
    // doesn't replace it and forms in other tabs stay valid.
    let cookie = Cookie::build(cookie_name(outer, request.head()), value.clone())
        .path(outer.cookie_path().to_owned())
        .secure(outer.is_https(request.head()))
        .http_only(true)
        .same_site(SameSite::Lax)
        .finish();
    Token { value, cookie: Some(cookie) }
}

/// Returns the token that the browser's cookie holds.
pub fn token_from_cookie(outer: &OuterAddress, request: &HttpRequest) -> Option<String> {
    let cookie = request.cookie(cookie_name(outer, request.head()));
    let value = cookie.map(|cookie| cookie.value().to_owned());
    value.filter(|value| is_well_formed(value))
}

/// Fails with `Forbidden` and a code that tells the cause. The browser's headers decide if it sends any: no page can forge them,
/// and they don't expire as cookies do.
pub fn check(outer: &OuterAddress, request: &HttpRequest, field: &str) -> Result<()> {
    let refused = |code, detail: String| Err(Error::new(code, detail));
    let sender = outer.sender(request.head());
    if let Some(detail) = outer.refusal(request.head(), &sender) {
        return refused(ErrorCode::CrossSiteForm, detail);
    }
    if sender == Sender::Own {
        return Ok(());
    }
    let Some(expected) = token_from_cookie(outer, request) else {
        let detail = "the browser sent no cookie with this form, nor where the form comes from; allow cookies for this \
                      site and send the form again";
        return refused(ErrorCode::FormCookieMissing, detail.to_owned());
    };
    // In constant time: how long a comparison takes must not tell how much of a guess is right.
    if bool::from(expected.as_bytes().ct_eq(field.as_bytes())) {
        return Ok(());
    }
    let detail = "the form's token is not the one of this browser: its page is from before the cookie was made, or from \
                  another browser; send the form again";
    refused(ErrorCode::FormTokenInvalid, detail.to_owned())
}

fn is_well_formed(value: &str) -> bool {
    BASE64_URL_SAFE_NO_PAD.decode(value).is_ok_and(|bytes| bytes.len() == TOKEN_BYTES)
}

/// Makes a token of 244 random bits from the operating system: a version 4 UUID is random but for six bits.
fn random_token() -> String {
    BASE64_URL_SAFE_NO_PAD.encode([Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::http::outer::tests::outer;

    const COOKIE: &str = "filesys_csrf";

    fn post(headers: &[(&'static str, &str)], cookie: &str) -> HttpRequest {
        let base = TestRequest::post().cookie(Cookie::new(COOKIE, cookie.to_owned()));
        let filled =
            headers.iter().fold(base, |request, (name, value)| request.insert_header((*name, *value)));
        filled.to_http_request()
    }

    #[test]
    fn a_form_of_our_own_page_passes_whatever_became_of_its_cookie() {
        let token = random_token();
        for headers in [
            &[("sec-fetch-site", "same-origin"), ("origin", "http://ignored")] as &[_],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://localhost:3006"), ("host", "LOCALHOST:3006")],
            &[("origin", "https://files.example"), ("host", "files.example")],
        ] {
            for cookie in [token.as_str(), "", &random_token()] {
                assert!(check(&outer(&[]), &post(headers, cookie), &token).is_ok(), "{headers:?}");
            }
        }
        assert!(check(&outer(&[]), &post(&[("host", "localhost:3006")], &token), &token).is_ok());
    }

    #[test]
    fn a_form_of_another_site_is_refused_even_with_the_token() {
        let token = random_token();
        for headers in [
            &[("sec-fetch-site", "cross-site")] as &[_],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "")],
            &[("origin", "http://localhost:4000"), ("host", "localhost:3006")],
            &[("origin", "null"), ("host", "localhost:3006")],
            &[("origin", "http://localhost:3006")],
        ] {
            let refused = check(&outer(&[]), &post(headers, &token), &token).unwrap_err();
            assert_eq!(refused.code, ErrorCode::CrossSiteForm, "{headers:?}");
        }
    }

    #[test]
    fn without_a_word_of_the_browser_the_token_must_be_the_cookies_and_the_cause_is_told() {
        let token = random_token();
        for (cookie, field, code) in [
            ("", "", ErrorCode::FormCookieMissing),
            ("", token.as_str(), ErrorCode::FormCookieMissing),
            ("x", "x", ErrorCode::FormCookieMissing),
            (token.as_str(), "", ErrorCode::FormTokenInvalid),
            (&token, &random_token(), ErrorCode::FormTokenInvalid),
        ] {
            let refused = check(&outer(&[]), &post(&[], cookie), field).unwrap_err();
            assert_eq!(refused.code, code, "{cookie:?} {field:?}");
        }
        let bare = TestRequest::post().to_http_request();
        assert!(check(&outer(&[]), &bare, "").is_err());
    }

    #[test]
    fn a_token_is_made_once_for_a_browser_and_never_readable_by_scripts() {
        let first = token(&outer(&[]), &TestRequest::get().to_http_request());
        let cookie = first.cookie.unwrap();
        assert_eq!(cookie.to_string(), format!("{COOKIE}={}; HttpOnly; SameSite=Lax; Path=/", first.value));
        let again = token(&outer(&[]), &post(&[], &first.value));
        assert_eq!(again.value, first.value);
        assert!(again.cookie.is_none());
        assert_ne!(random_token(), random_token());
        let forged = token(&outer(&[]), &post(&[], "short"));
        assert!(forged.cookie.is_some());
    }

    #[test]
    fn the_cookie_is_only_for_the_address_of_the_service() {
        for (base, name, path, secure) in [
            ("https://h.example", "__Host-filesys_csrf", "/", true),
            ("https://h.example/sub", "__Secure-filesys_csrf", "/sub", true),
            ("http://h.example/sub", "filesys_csrf", "/sub", false),
        ] {
            let made =
                token(&outer(&[("BASE_URL", base)]), &TestRequest::get().to_http_request()).cookie.unwrap();
            let seen = (made.name(), made.path(), made.secure());
            assert_eq!(seen, (name, Some(path), Some(secure)), "{base}");
        }
    }
}
