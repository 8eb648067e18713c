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

use actix_web::web::FormConfig;
use askama::Template;

use self::views::ErrorPage;
use crate::http::error::HttpError;
use crate::http::links::Links;

/// How forms are read: within a limit, with errors of ours.
pub(super) fn form_config() -> FormConfig {
    FormConfig::default()
        .limit(form::BODY_LIMIT)
        .error_handler(|cause, _| HttpError::from(form::unreadable(&cause)).into())
}

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
