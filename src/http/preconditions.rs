//! Conditional requests (RFC 9110 §13): the preconditions of a request, and whether they hold.

use actix_web::HttpRequest;
use actix_web::http::header::{self, EntityTag, HeaderMap, HeaderName, HttpDate};
use actix_web::http::{Method, StatusCode};

use super::etag;
use super::negotiation::split;
use super::validators::Validators;
use crate::actions::Guard;
use crate::domain::{Error, ErrorCode, Result};

/// Result of comparing the preconditions of a request with the state of its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Proceed,
    /// Answered with 304; GET and HEAD only.
    NotModified,
    /// Answered with 412.
    Failed,
}

/// Preconditions of a request.
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
    /// Well-formed tags; malformed ones are left out, because they match nothing.
    Listed(Vec<EntityTag>),
}

impl Tags {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
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
                // A client that got the compressed answer sends that answer's tag.
                let zipped = etag::gzipped(tag.clone());
                listed.iter().any(|known| compare(known, tag) || compare(known, &zipped))
            }
        }
    }
}

impl Preconditions {
    /// Reads the headers of a request; `If-Modified-Since` is for GET and HEAD only.
    pub fn read(request: &HttpRequest) -> Self {
        let headers = request.headers();
        let date = |name: HeaderName| {
            let mut lines = headers.get_all(name);
            let date = lines.next()?.to_str().ok()?.trim().parse().ok();
            // A date that comes twice, or is malformed, is ignored (RFC 9110 §13.1.3).
            date.filter(|_| lines.next().is_none())
        };
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
        Self {
            if_match: Tags::read(headers, &header::IF_MATCH),
            if_none_match: Tags::read(headers, &header::IF_NONE_MATCH),
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

    /// Evaluates the preconditions in the order of RFC 9110 §13.2.2; `If-Range` comes after them.
    fn evaluate(&self, current: &Validators, is_safe: bool) -> Outcome {
        let tag = current.tag.as_ref();
        // A tag is more exact than a date, so the dates are ignored where there are tags.
        match (&self.if_match, self.if_unmodified_since, current.modified) {
            (Some(tags), _, _) if !tags.matches(tag, EntityTag::strong_eq) => return Outcome::Failed,
            (None, Some(since), Some(modified)) if modified > since => return Outcome::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since, current.modified) {
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

    /// Fails with 412 when a change may not be made to a resource in this state.
    pub fn allow_change(&self, current: &Validators) -> Result<()> {
        match self.evaluate(current, false) {
            Outcome::Proceed => Ok(()),
            Outcome::NotModified | Outcome::Failed => Err(failed()),
        }
    }

    /// Makes a guard from the preconditions: the use case calls it with the locked row, in the transaction that changes it.
    pub fn into_guard<T: 'static>(self, validators: fn(&T) -> Result<Validators>) -> Guard<T> {
        if self.is_empty() {
            return Guard::none();
        }
        Guard::new(move |value| self.allow_change(&validators(value)?))
    }
}

/// Evaluates the preconditions of a GET or HEAD request. Returns the status of the answer when it has no content (304), and
/// fails with 412.
pub(super) fn status_without_content(
    request: &HttpRequest,
    current: &Validators,
) -> Result<Option<StatusCode>> {
    let preconditions = Preconditions::read(request);
    if preconditions.is_empty() {
        return Ok(None);
    }
    match preconditions.evaluate(current, true) {
        Outcome::Proceed => Ok(None),
        Outcome::NotModified => Ok(Some(StatusCode::NOT_MODIFIED)),
        Outcome::Failed => Err(failed()),
    }
}

fn failed() -> Error {
    let detail = "it is not as the request's precondition wants it (If-Match, If-None-Match, If-Unmodified-Since); \
                  read it again";
    Error::new(ErrorCode::PreconditionFailed, detail)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::Outcome::{Failed, NotModified, Proceed};
    use super::*;
    use crate::domain::Timestamp;
    use crate::http::validators::http_date;

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
        Preconditions::read(&request.to_http_request()).evaluate(&now, is_safe)
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
}
