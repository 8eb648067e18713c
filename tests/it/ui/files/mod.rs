//! The pages of files, in a browser and without JavaScript.

mod in_a_browser;
mod without_javascript;
