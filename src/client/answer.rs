//! Answers of the server: errors told apart by status, bodies read within a bound.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use reqwest::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{ClientError, Result};

/// Maximum size of a body; a history of a thousand transitions has 200 KiB.
const BODY_MAX_BYTES: usize = 16 << 20;
/// Maximum size of a body that reports an error.
const PROBLEM_MAX_BYTES: usize = 64 << 10;

/// Members of problem+json (RFC 9457) that people are told.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    errors: Vec<FieldProblem>,
}

#[derive(Deserialize)]
struct FieldProblem {
    detail: String,
}

/// Returns the answer if it is a success, otherwise the error that it reports.
pub(super) async fn successful(answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    // The status alone says enough when the body can't be read.
    let body = read(answer, PROBLEM_MAX_BYTES).await.unwrap_or_default();
    Err(error(status, retry_after, &body))
}

fn error(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> ClientError {
    let text = match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { detail, errors }) if errors.is_empty() => detail,
        Ok(Problem { errors, .. }) => {
            errors.into_iter().map(|error| error.detail).collect::<Vec<_>>().join("; ")
        }
        Err(_) => "no reason is given".to_owned(),
    };
    let text = format!("the server answered {status}: {text}");
    match status {
        StatusCode::LOCKED | StatusCode::CONFLICT => ClientError::Busy(text),
        StatusCode::NOT_FOUND | StatusCode::GONE => ClientError::Gone(text),
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::INTERNAL_SERVER_ERROR
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => ClientError::Unavailable { reason: text, retry_after },
        _ => ClientError::Refused(text),
    }
}

/// Reads the JSON of a body.
pub(super) async fn json<T: DeserializeOwned>(answer: Response) -> Result<T> {
    let body = read(answer, BODY_MAX_BYTES).await?;
    serde_json::from_slice(&body).map_err(|error| foreign(&error))
}

/// Reads a type from JSON.
pub(super) fn parsed<T: DeserializeOwned>(json: serde_json::Value) -> Result<T> {
    serde_json::from_value(json).map_err(|error| foreign(&error))
}

fn foreign(error: &serde_json::Error) -> ClientError {
    ClientError::Refused(format!("the answer is not one of filesys: {error}"))
}

async fn read(mut answer: Response, limit: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let cut_off = |_| ClientError::unavailable("the server's answer was cut off".to_owned());
    while let Some(bytes) = answer.chunk().await.map_err(cut_off)? {
        if body.len() + bytes.len() > limit {
            return Err(ClientError::Refused(format!("the server's answer has more than {limit} bytes")));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_what_can_be_done() {
        let body = br#"{"type":"about:blank","status":0,"detail":"why","code":"c","request_id":"r"}"#;
        let of = |status: u16| error(StatusCode::from_u16(status).unwrap(), None, body);
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(of(status), ClientError::Unavailable { .. }), "{status}");
        }
        for status in [409, 423] {
            assert!(matches!(of(status), ClientError::Busy(_)), "{status}");
        }
        for status in [404, 410] {
            assert!(matches!(of(status), ClientError::Gone(_)), "{status}");
        }
        for status in [301, 400, 412, 413, 415, 422, 460, 507] {
            assert!(matches!(of(status), ClientError::Refused(_)), "{status}");
        }
        assert!(of(413).to_string().ends_with("413 Payload Too Large: why"), "{}", of(413));
    }

    #[test]
    fn each_broken_rule_is_told() {
        let body = br#"{"detail":"2 fields","errors":[{"pointer":"/a","detail":"a is bad"},{"pointer":"/b","detail":"so is b"}]}"#;
        let error = error(StatusCode::UNPROCESSABLE_ENTITY, None, body);
        assert!(error.to_string().ends_with(": a is bad; so is b"), "{error}");
    }

    #[test]
    fn an_answer_that_is_no_problem_is_told_by_its_status() {
        let error = error(StatusCode::BAD_GATEWAY, None, b"<html>");
        assert_eq!(error.to_string(), "the server answered 502 Bad Gateway: no reason is given");
    }
}
