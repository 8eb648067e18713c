//! Page that reports an error.

use actix_web::http::StatusCode;
use askama::Template;

use super::urls::Urls;
use super::{assets, display};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    urls: Urls<'a>,
    status: u16,
    title: &'a str,
    detail: &'a str,
    /// Empty: none is shown.
    request_id: &'a str,
}

/// Renders the page. It needs nothing that could fail as well.
pub(in crate::http) fn render(urls: Urls<'_>, status: StatusCode, detail: &str, request_id: &str) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    let page = ErrorPage { urls, status: status.as_u16(), title, detail, request_id };
    page.render().unwrap_or_else(|_| status.as_u16().to_string())
}
