//! The pages: rendered on the server, usable without JavaScript, kept current by one small script.

pub(super) mod assets;
mod csrf;
pub(super) mod dead_letters;
mod display;
pub(super) mod error_page;
pub(super) mod files;
mod forms;
mod html;
mod templates;
#[cfg(test)]
mod tests;
pub(super) mod uploads;
pub(super) mod urls;
