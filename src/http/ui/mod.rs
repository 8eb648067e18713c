//! The pages: server-rendered, usable without JavaScript, kept current by one small script.

pub mod assets;
mod csrf;
mod form;
mod human;
mod links;
pub mod pages;
#[cfg(test)]
mod tests;
mod views;

use actix_web::web::{self, ServiceConfig};
use askama::Template;

use self::views::ErrorPage;
use crate::http::error::HttpError;

/// Every address of the browser side.
pub fn configure(cfg: &mut ServiceConfig) {
    let forms = web::FormConfig::default()
        .limit(form::BODY_LIMIT)
        .error_handler(|cause, _| HttpError::from(form::unreadable(&cause)).into());
    cfg.route("/", web::get().to(pages::list))
        .service(
            web::resource("/ui/files")
                .app_data(forms)
                .route(web::get().to(pages::to_list))
                .route(web::post().to(pages::create)),
        )
        .route("/ui/files/fragment", web::get().to(pages::list_fragment))
        .route("/ui/files/{id}", web::get().to(pages::show))
        .route("/ui/files/{id}/fragment", web::get().to(pages::show_fragment))
        .route("/assets/{name}", web::get().to(assets::serve));
}

/// An error as a page; needs nothing that could fail. Empty `request_id`: none is shown.
pub fn error_page(status: u16, title: &str, detail: &str, request_id: &str) -> String {
    let page = ErrorPage {
        status,
        title,
        detail,
        request_id,
    };
    page.render().unwrap_or_else(|_| format!("{status}"))
}
