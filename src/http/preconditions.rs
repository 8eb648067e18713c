//! Conditional requests (RFC 9110 §13): the preconditions of a request, and whether they hold.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, EntityTag, HeaderMap, HeaderName, HttpDate};
use serde::Serialize;

use super::etag;
use super::negotiation::split;
use crate::actions::Guard;
use crate::domain::{DeadLetter, Error, ErrorKind, File, Timestamp};

/// The state of a resource that preconditions are compared with.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    pub tag: Option<EntityTag>,
    /// When it was last changed; without it, dates are no conditions.
    pub modified: Option<HttpDate>,
}

impl Validators {
    pub fn of_tag(tag: EntityTag) -> Self {
        Self { tag: Some(tag), modified: None }
    }
}

/// The first full second in which the change was over: a copy that was sent then has it, so the date is as good as a
/// strong tag.
pub(super) fn http_date(at: Timestamp) -> HttpDate {
    let seconds = u64::try_from(at.epoch_millis()).unwrap_or_default().div_ceil(1000);
    HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// What the preconditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Proceed,
    /// 304, for GET and HEAD.
    NotModified,
    /// 412.
    Failed,
}

/// The preconditions of a request.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "the names of the headers")]
pub(super) struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    if_modified_since: Option<HttpDate>,
    if_unmodified_since: Option<HttpDate>,
}

#[derive(Debug)]
enum Tags {
    Any,
    /// Tags that can be read; what can't matches nothing.
    Listed(Vec<EntityTag>),
}

impl Tags {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).peekable();
        lines.peek()?;
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        if let [line] = lines.as_slice()
            && line.trim() == "*"
        {
            return Some(Self::Any);
        }
        let tags = lines.iter().flat_map(|line| split(line, ',', false)).map(str::trim);
        Some(Self::Listed(tags.filter_map(|tag| tag.parse().ok()).collect()))
    }

    fn matches(&self, tag: Option<&EntityTag>, compare: fn(&EntityTag, &EntityTag) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => {
                let Some(tag) = tag else { return false };
                let zipped = etag::gzipped(tag.clone());
                listed.iter().any(|known| compare(known, tag) || compare(known, &zipped))
            }
        }
    }
}

impl Preconditions {
    /// Only GET and HEAD have `If-Modified-Since`.
    pub fn of(request: &HttpRequest) -> Self {
        let headers = request.headers();
        let date = |name: HeaderName| {
            let mut lines = headers.get_all(name);
            let date = lines.next()?.to_str().ok()?.trim().parse().ok();
            date.filter(|_| lines.next().is_none())
        };
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
        Self {
            if_match: Tags::of(headers, &header::IF_MATCH),
            if_none_match: Tags::of(headers, &header::IF_NONE_MATCH),
            if_modified_since: date(header::IF_MODIFIED_SINCE).filter(|_| is_safe),
            if_unmodified_since: date(header::IF_UNMODIFIED_SINCE),
        }
    }

    pub fn is_empty(&self) -> bool {
        let Self { if_match, if_none_match, if_modified_since, if_unmodified_since } = self;
        if_match.is_none()
            && if_none_match.is_none()
            && if_modified_since.is_none()
            && if_unmodified_since.is_none()
    }

    /// In the order of RFC 9110 §13.2.2; `If-Range` comes after it.
    pub fn check(&self, now: &Validators, is_safe: bool) -> Outcome {
        let tag = now.tag.as_ref();
        match (&self.if_match, self.if_unmodified_since, now.modified) {
            (Some(tags), _, _) if !tags.matches(tag, EntityTag::strong_eq) => return Outcome::Failed,
            (None, Some(since), Some(modified)) if modified > since => return Outcome::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since, now.modified) {
            (Some(tags), _, _) if tags.matches(tag, EntityTag::weak_eq) => {
                if is_safe {
                    Outcome::NotModified
                } else {
                    Outcome::Failed
                }
            }
            (None, Some(since), Some(modified)) if is_safe && modified <= since => Outcome::NotModified,
            _ => Outcome::Proceed,
        }
    }

    /// Makes the guard of a change of what `validators` describes: checked against the row that is changed, while it is
    /// locked.
    pub fn guard<T: 'static>(self, validators: fn(&T) -> Result<Validators, Error>) -> Guard<T> {
        if self.is_empty() {
            return Guard::none();
        }
        Guard::new(move |value| match self.check(&validators(value)?, false) {
            Outcome::Proceed => Ok(()),
            Outcome::NotModified | Outcome::Failed => Err(failed()),
        })
    }
}

/// The error of a precondition that does not hold.
pub(super) fn failed() -> Error {
    let detail = "it is not as the request's precondition wants it (If-Match, If-None-Match, If-Unmodified-Since); \
                  read it again";
    Error::new(ErrorKind::PreconditionFailed, "precondition_failed", detail)
}

/// What `GET /files/{id}` says of the file.
pub(super) fn of_file(file: &File) -> Result<Validators, Error> {
    Ok(Validators { tag: Some(strong_tag(file)?), modified: Some(http_date(file.updated_at)) })
}

/// What `GET /dead-letters/{id}` says of it.
pub(super) fn of_letter(letter: &DeadLetter) -> Result<Validators, Error> {
    Ok(Validators::of_tag(strong_tag(letter)?))
}

/// The tag of a JSON answer with this value alone in it.
fn strong_tag(value: &impl Serialize) -> Result<EntityTag, Error> {
    let json = serde_json::to_vec(value);
    let json = json.map_err(|error| Error::internal("the answer can't be written").because(error))?;
    Ok(etag::strong(&json))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::Outcome::{Failed, NotModified, Proceed};
    use super::*;

    const BEFORE: &str = "Sat, 03 Jan 2026 00:00:00 GMT";
    const CHANGED: &str = "Sat, 03 Jan 2026 00:00:01 GMT";
    const AFTER: &str = "Saturday, 03-Jan-26 00:00:02 GMT";

    fn outcome(method: &Method, headers: &[(&str, &str)], tag: EntityTag) -> Outcome {
        let request =
            headers.iter().fold(TestRequest::default().method(method.clone()), |request, header| {
                request.append_header(*header)
            });
        let at: Timestamp = serde_json::from_str("\"2026-01-03T00:00:00.001Z\"").unwrap();
        let now = Validators { tag: Some(tag), modified: Some(http_date(at)) };
        let is_safe = method == Method::GET;
        Preconditions::of(&request.to_http_request()).check(&now, is_safe)
    }

    #[test]
    fn preconditions_are_evaluated_in_the_order_of_rfc_9110() {
        for (headers, get, delete) in [
            (&[] as &[(&str, &str)], Proceed, Proceed),
            (&[("if-match", "\"a\"")], Proceed, Proceed),
            (&[("if-match", "\"a-gzip\"")], Proceed, Proceed),
            (&[("if-match", "*")], Proceed, Proceed),
            (&[("if-match", "\"b\"")], Failed, Failed),
            (&[("if-match", "W/\"a\"")], Failed, Failed),
            (&[("if-match", "\"b\", \"a\"")], Proceed, Proceed),
            (&[("if-match", "\"b\""), ("if-match", "\"a\"")], Proceed, Proceed),
            (&[("if-match", "\"b,a\"")], Failed, Failed),
            (&[("if-match", "a")], Failed, Failed),
            (&[("if-match", "")], Failed, Failed),
            (&[("if-match", "\"a")], Failed, Failed),
            (&[("if-none-match", "\"a\"")], NotModified, Failed),
            (&[("if-none-match", "W/\"a\"")], NotModified, Failed),
            (&[("if-none-match", "*")], NotModified, Failed),
            (&[("if-none-match", "\"b\"")], Proceed, Proceed),
            (&[("if-none-match", "nonsense")], Proceed, Proceed),
            (&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], NotModified, Failed),
            (&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Failed, Failed),
            (&[("if-unmodified-since", BEFORE)], Failed, Failed),
            (&[("if-unmodified-since", CHANGED)], Proceed, Proceed),
            (&[("if-unmodified-since", AFTER)], Proceed, Proceed),
            (&[("if-unmodified-since", "Sat Jan  3 00:00:00 2026")], Failed, Failed),
            (&[("if-unmodified-since", "yesterday")], Proceed, Proceed),
            (&[("if-unmodified-since", BEFORE), ("if-unmodified-since", BEFORE)], Proceed, Proceed),
            (&[("if-match", "\"a\""), ("if-unmodified-since", BEFORE)], Proceed, Proceed),
            (&[("if-modified-since", BEFORE)], Proceed, Proceed),
            (&[("if-modified-since", CHANGED)], NotModified, Proceed),
            (&[("if-modified-since", AFTER)], NotModified, Proceed),
            (&[("if-modified-since", "0")], Proceed, Proceed),
            (&[("if-none-match", "\"b\""), ("if-modified-since", AFTER)], Proceed, Proceed),
        ] {
            let tag = || EntityTag::new_strong("a".to_owned());
            assert_eq!(outcome(&Method::GET, headers, tag()), get, "GET {headers:?}");
            assert_eq!(outcome(&Method::DELETE, headers, tag()), delete, "DELETE {headers:?}");
        }
        let weak = EntityTag::new_weak("a".to_owned());
        assert_eq!(outcome(&Method::GET, &[("if-match", "W/\"a\"")], weak), Failed);
    }

    #[test]
    fn a_change_is_dated_to_the_first_second_after_it() {
        for (at, date) in [
            ("2026-01-03T00:00:00.000Z", BEFORE),
            ("2026-01-03T00:00:00.001Z", CHANGED),
            ("2026-01-03T00:00:00.999Z", CHANGED),
        ] {
            let at: Timestamp = serde_json::from_str(&format!("\"{at}\"")).unwrap();
            assert_eq!(http_date(at).to_string(), date);
        }
    }
}
