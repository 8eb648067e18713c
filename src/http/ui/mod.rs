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
use actix_web::{Route, guard};
use askama::Template;

use self::views::ErrorPage;
use crate::http::error::HttpError;

/// Every address of the browser side.
pub fn configure(cfg: &mut ServiceConfig) {
    let forms = web::FormConfig::default()
        .limit(form::BODY_LIMIT)
        .error_handler(|cause, _| HttpError::from(form::unreadable(&cause)).into());
    cfg.route("/", get().to(pages::list))
        .service(
            web::resource("/ui/files")
                .app_data(forms)
                .route(get().to(pages::to_list))
                .route(web::post().to(pages::create)),
        )
        .route("/ui/files/fragment", get().to(pages::list_fragment))
        .route("/ui/files/{id}", get().to(pages::show))
        .route("/ui/files/{id}/fragment", get().to(pages::show_fragment))
        .route("/assets/{name}", get().to(assets::serve));
}

/// GET and HEAD: the server leaves out the body of the latter.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
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
