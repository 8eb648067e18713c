//! `/uploads`: resumable uploads by tus 1.0.0, one file for each operation.

mod append;
mod body_pieces;
mod create;
mod form;
mod headers;
mod options;
mod status;
mod terminate;

pub(in crate::http) use append::append;
pub(in crate::http) use create::create;
pub(in crate::http) use form::{ReceivedForm, upload as upload_form};
pub(in crate::http) use options::options;
pub(in crate::http) use status::status;
pub(in crate::http) use terminate::terminate;
