//! The pages: server-rendered, usable without JavaScript, kept current by one small script.

pub(super) mod assets;
mod csrf;
mod form;
mod human;
pub(super) mod letters;
mod links;
pub(super) mod pages;
#[cfg(test)]
mod tests;
mod views;

use actix_web::web::FormConfig;
use askama::Template;

use self::views::ErrorPage;
use crate::http::error::HttpError;

/// How forms are read: within a limit, with errors of ours.
pub(super) fn form_config() -> FormConfig {
    FormConfig::default()
        .limit(form::BODY_LIMIT)
        .error_handler(|cause, _| HttpError::from(form::unreadable(&cause)).into())
}

/// An error as a page; needs nothing that could fail. Empty `request_id`: none is shown.
pub fn error_page(status: u16, title: &str, detail: &str, request_id: &str) -> String {
    let page = ErrorPage { status, title, detail, request_id };
    page.render().unwrap_or_else(|_| format!("{status}"))
}
