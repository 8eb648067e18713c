//! The pages, as people use them: in a real browser, and without JavaScript.

mod accessibility;
mod browser;
mod cross_site;
mod dead_letters;
mod errors;
mod files;
mod uploads;
mod visitor;
