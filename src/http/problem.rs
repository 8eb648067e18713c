//! Bodies of errors: a problem document (RFC 9457) for programs, a page for people.

use serde::Serialize;

use super::error::status;
use super::ui::error_page;
use super::ui::urls::Urls;
use crate::domain::Error;

/// Media type and body of an answer that reports an error.
pub(super) struct Rendered {
    pub content_type: &'static str,
    pub body: String,
}

/// Renders the error as a page.
pub(super) fn page(error: &Error, request_id: &str, urls: Urls<'_>) -> Rendered {
    let status = status(error.kind);
    let body = error_page::render(urls, status, &error.detail, request_id);
    Rendered { content_type: "text/html; charset=utf-8", body }
}

/// Renders the error as a problem document.
pub(super) fn document(error: &Error, request_id: &str) -> Rendered {
    // Strings and numbers alone: serialising them can't fail.
    let body = serde_json::to_string(&ProblemBody::new(error, request_id)).unwrap_or_default();
    Rendered { content_type: "application/problem+json", body }
}

/// Members of RFC 9457, followed by the extension members `code`, `request_id` and `errors`.
#[derive(Debug, Serialize)]
struct ProblemBody<'a> {
    /// Always `about:blank`, with the status's own phrase as title: `code` is the finer type.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldErrorBody<'a>>,
}

/// Member of the request that broke a rule.
#[derive(Debug, Serialize)]
struct FieldErrorBody<'a> {
    /// JSON Pointer into the request's body.
    pointer: &'a str,
    detail: &'a str,
}

impl<'a> ProblemBody<'a> {
    fn new(error: &'a Error, request_id: &'a str) -> Self {
        let status = status(error.kind);
        let fields = error.fields.iter();
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &error.detail,
            code: error.code.name(),
            request_id,
            errors: fields
                .map(|field| FieldErrorBody { pointer: field.pointer, detail: &field.detail })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ErrorCode, FieldError};

    #[test]
    fn a_problem_document_has_these_members_in_this_order() {
        let error = Error::new(ErrorCode::FileNotFound, "there is no file with id 7");
        assert_eq!(
            document(&error, "r1").body,
            r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"there is no file with id 7","code":"file_not_found","request_id":"r1"}"#
        );
        let field = |pointer, detail: &str| FieldError { pointer, detail: detail.to_owned() };
        let error = Error::invalid(vec![field("/title", "too long"), field("/format", "unknown")]);
        assert_eq!(
            document(&error, "r2").body,
            r#"{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"2 members of the request are not valid","code":"validation_failed","request_id":"r2","errors":[{"pointer":"/title","detail":"too long"},{"pointer":"/format","detail":"unknown"}]}"#
        );
    }
}
