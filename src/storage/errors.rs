//! Errors of the object store, and what they mean to the product.

use std::time::Duration;

use s3::error::S3Error;
use serde::Deserialize;

use super::error_codes::ErrorClass;
use super::{limits, xml};
use crate::domain::{Error, ErrorCode};

/// Error of the object store, by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store doesn't answer, or can't answer now: the same call may succeed later.
    #[error("the object store is unavailable: {0}")]
    Unavailable(String),
    /// The store asks for a pause of this length.
    #[error("the object store is busy and asks for {1:?}: {0}")]
    Busy(String, Duration),
    /// The time limit was exceeded.
    #[error("the object store did not answer in time")]
    TimedOut,
    /// The bucket does not exist.
    #[error("the object store has no such bucket: {0}")]
    NoBucket(String),
    /// The object does not exist.
    #[error("no such object: {0}")]
    NotFound(String),
    /// Credentials or permissions are wrong.
    #[error("the object store refused us: {0}")]
    Denied(String),
    /// Region, endpoint or bucket are set to values that can't work.
    #[error("the object store can't be used with these settings: {0}")]
    Misconfigured(String),
    /// The stored bytes are not those that were sent.
    #[error("the object store holds other bytes than were sent: {0}")]
    Corrupt(String),
    /// Any other answer.
    #[error("the object store: {0}")]
    Other(String),
}

/// `<Error>` document of the store.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorDocument {
    code: String,
    message: String,
    /// Region and endpoint of the bucket, if the request went to others.
    region: String,
    endpoint: String,
}

impl ErrorDocument {
    /// Names the wrong setting, with its right value where the store tells it.
    fn advice(&self) -> String {
        match (self.region.trim(), self.endpoint.trim()) {
            ("", "") => "S3_REGION, S3_ENDPOINT".to_owned(),
            ("", endpoint) => shortened(&format!("S3_REGION, S3_ENDPOINT: the bucket is at {endpoint}")),
            (region, _) => shortened(&format!("S3_REGION should be {region}")),
        }
    }
}

impl StorageError {
    /// Makes the error of a response: by the S3 error code in its body, or by the status where the body has no known
    /// code. A body without any code comes from something in between, such as a proxy: it says nothing about the bucket
    /// or the object.
    pub(super) fn of_response(status: u16, body: &[u8]) -> Self {
        let Some(error) =
            xml::read::<ErrorDocument>("Error", body).ok().filter(|error| !error.code.is_empty())
        else {
            return Self::without_code(status, &String::from_utf8_lossy(body));
        };
        let text = shortened(&format!("{status} {} {}", error.code, error.message));
        match ErrorClass::of(&error.code) {
            Some(ErrorClass::NoBucket) => Self::NoBucket(text),
            Some(ErrorClass::NotFound) => Self::NotFound(text),
            Some(ErrorClass::Transient) => Self::Unavailable(text),
            Some(ErrorClass::WrongLocation) => Self::Misconfigured(format!("{text} ({})", error.advice())),
            Some(ErrorClass::Unsupported) => Self::Misconfigured(text),
            Some(ErrorClass::Denied) => Self::Denied(text),
            Some(ErrorClass::Corrupt) => Self::Corrupt(text),
            Some(ErrorClass::InvalidObject) => Self::Other(text),
            None => Self::of_status(status, text),
        }
    }

    fn of_status(status: u16, text: String) -> Self {
        match status {
            300..=399 | 405 | 501 => Self::Misconfigured(format!("{text} (S3_REGION, S3_ENDPOINT)")),
            401 | 403 | 407 => Self::Denied(text),
            // 409 (OperationAborted) and 429 are transient, as 5xx are. S3 may also send an error with status 200.
            200..=299 | 408 | 409 | 425 | 429 | 500..=599 => Self::Unavailable(text),
            _ => Self::Other(text),
        }
    }

    fn without_code(status: u16, body: &str) -> Self {
        let text = shortened(&format!("{status} without an S3 error code {body}"));
        let error = Self::of_status(status, text.clone());
        if matches!(error, Self::Other(_)) { Self::Unavailable(text) } else { error }
    }
}

/// Shortens a text to what a log line can hold.
fn shortened(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(limits::MAX_ERROR_TEXT_CHARS).collect()
}

impl From<reqwest::Error> for StorageError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        // Without the URL: it is signed, so that anybody who reads it in a log could use it for a while.
        let mut text = causes(&error.without_url());
        if text.contains("invalid peer certificate") {
            text.push_str(" (S3_CA names who is believed)");
        }
        Self::Unavailable(text)
    }
}

/// Errors of rust-s3 come from signing only, never from the store.
impl From<S3Error> for StorageError {
    fn from(error: S3Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// Joins an error's text with those of its causes, which reqwest's own text leaves out.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let mut outside = match &error {
            StorageError::NotFound(_) => {
                Self::new(ErrorCode::ObjectMissing, "the file's content is no longer in the store")
            }
            // Wrong credentials and settings and a missing bucket are corrected by an operator; until then they are an
            // outage, so that no file fails because of them.
            StorageError::Unavailable(_)
            | StorageError::Busy(..)
            | StorageError::TimedOut
            | StorageError::Denied(_)
            | StorageError::Misconfigured(_)
            | StorageError::NoBucket(_) => Self::new(
                ErrorCode::StorageUnavailable,
                "the object store is not available; try again shortly",
            ),
            StorageError::Corrupt(_) => {
                Self::internal("the object store did not keep the bytes it was given")
            }
            StorageError::Other(_) => Self::internal("the object store gave an answer that makes no sense"),
        };
        if let StorageError::Busy(_, wait) = &error {
            outside.retry_after = Some(*wait);
        }
        outside.because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;

    fn xml_of(code: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>planted</Message>\
             <RequestId>1</RequestId></Error>"
        )
    }

    fn name(error: &StorageError) -> &'static str {
        use StorageError as E;
        match error {
            E::Unavailable(_) => "unavailable",
            E::Busy(..) => "busy",
            E::TimedOut => "timed out",
            E::NoBucket(_) => "no bucket",
            E::NotFound(_) => "not found",
            E::Denied(_) => "denied",
            E::Misconfigured(_) => "misconfigured",
            E::Corrupt(_) => "corrupt",
            E::Other(_) => "other",
        }
    }

    #[test]
    fn the_code_decides_and_then_the_status() {
        for (status, code, expected) in [
            (400, "RequestTimeout", "unavailable"),
            (503, "SlowDown", "unavailable"),
            (400, "SlowDown", "unavailable"),
            (500, "InternalError", "unavailable"),
            (400, "InternalError", "unavailable"),
            (503, "ServiceUnavailable", "unavailable"),
            (400, "Throttling", "unavailable"),
            (400, "ThrottlingException", "unavailable"),
            (400, "ThrottledException", "unavailable"),
            (400, "RequestLimitExceeded", "unavailable"),
            (403, "RequestTimeTooSkewed", "unavailable"),
            (409, "OperationAborted", "unavailable"),
            (400, "IncompleteBody", "unavailable"),
            (507, "InsufficientStorage", "unavailable"),
            (507, "XMinioStorageFull", "unavailable"),
            (400, "XMinioAdminBucketQuotaExceeded", "unavailable"),
            (403, "QuotaExceeded", "unavailable"),
            (400, "ExpiredToken", "denied"),
            (403, "InvalidAccessKeyId", "denied"),
            (403, "SignatureDoesNotMatch", "denied"),
            (403, "AccessDenied", "denied"),
            (400, "InvalidToken", "denied"),
            (400, "KMS.DisabledException", "denied"),
            (404, "NoSuchBucket", "no bucket"),
            (404, "NoSuchKey", "not found"),
            (404, "NoSuchUpload", "not found"),
            (301, "PermanentRedirect", "misconfigured"),
            (307, "TemporaryRedirect", "misconfigured"),
            (400, "AuthorizationHeaderMalformed", "misconfigured"),
            (400, "IllegalLocationConstraintException", "misconfigured"),
            (405, "MethodNotAllowed", "misconfigured"),
            (501, "NotImplemented", "misconfigured"),
            (409, "BucketAlreadyExists", "misconfigured"),
            (400, "BadDigest", "corrupt"),
            (400, "EntityTooLarge", "other"),
            (500, "EntityTooLarge", "other"),
            (400, "KeyTooLongError", "other"),
            (400, "NeverHeardOf", "other"),
            (416, "InvalidRange", "other"),
            (503, "NeverHeardOf", "unavailable"),
            (403, "NeverHeardOf", "denied"),
            (302, "NeverHeardOf", "misconfigured"),
            (200, "InternalError", "unavailable"),
            (200, "NeverHeardOf", "unavailable"),
            (200, "AccessDenied", "denied"),
        ] {
            let error = StorageError::of_response(status, xml_of(code).as_bytes());
            assert_eq!(name(&error), expected, "{status} {code}");
            assert!(error.to_string().contains(code), "{error}");
        }
    }

    #[test]
    fn an_error_without_a_code_says_nothing_about_bucket_or_object() {
        let bodies = [
            "",
            "<html><title>404 Not Found</title></html>",
            "<Error><Code>NoSuchKey</Cod",
            "{}",
            "NoSuchBucket",
        ];
        for body in bodies {
            for (status, expected) in [
                (404, "unavailable"),
                (400, "unavailable"),
                (413, "unavailable"),
                (502, "unavailable"),
                (507, "unavailable"),
                (407, "denied"),
                (403, "denied"),
                (302, "misconfigured"),
                (405, "misconfigured"),
            ] {
                assert_eq!(
                    name(&StorageError::of_response(status, body.as_bytes())),
                    expected,
                    "{status} {body}"
                );
            }
        }
    }

    #[test]
    fn no_file_fails_for_good_by_what_an_operator_corrects() {
        for code in
            ["RequestTimeout", "AccessDenied", "PermanentRedirect", "NoSuchBucket", "XMinioStorageFull"]
        {
            let error = Error::from(StorageError::of_response(400, xml_of(code).as_bytes()));
            assert_eq!(error.kind, ErrorKind::Unavailable, "{code}");
        }
    }

    #[test]
    fn a_wrong_region_is_named_with_the_right_one() {
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; \
            expecting 'eu-west-1'</Message><Region>eu-west-1</Region></Error>";
        let error = StorageError::of_response(400, body.as_bytes());
        assert!(error.to_string().ends_with("(S3_REGION should be eu-west-1)"), "{error}");
    }
}
