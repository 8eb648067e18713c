//! The pages: server-rendered, usable without JavaScript, kept current by one small script.

pub(super) mod assets;
mod csrf;
mod form;
mod human;
pub(super) mod letters;
pub(super) mod pages;
#[cfg(test)]
mod tests;
mod views;

use askama::Template;

use self::views::ErrorPage;
use crate::http::links::Links;

/// An error as a page; needs nothing that could fail. Empty `request_id`: none is shown.
pub(super) fn error_page(
    links: Links<'_>,
    status: u16,
    title: &str,
    (detail, request_id): (&str, &str),
) -> String {
    let page = ErrorPage { links, status, title, detail, request_id };
    page.render().unwrap_or_else(|_| format!("{status}"))
}
