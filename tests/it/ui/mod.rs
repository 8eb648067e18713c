//! The pages, as people use them: in a real browser, and without JavaScript.

mod accessibility;
mod browser;
mod from_elsewhere;
mod in_a_browser;
mod without_javascript;
