//! `OPTIONS /uploads` and `OPTIONS /uploads/{id}`: what this server can do.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use actix_web::web::Data;

use super::headers::{self, TUS_VERSION, VERSION};
use crate::domain::uploads::digest::CHECKSUM_ALGORITHMS;
use crate::http::AppState;

const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination";

pub(in crate::http) async fn options(state: Data<AppState>) -> HttpResponse {
    headers::answer(StatusCode::NO_CONTENT)
        .insert_header((TUS_VERSION, VERSION))
        .insert_header((TUS_EXTENSION, EXTENSIONS))
        .insert_header((TUS_MAX_SIZE, state.ctx.uploads.max_size))
        .insert_header((TUS_CHECKSUM_ALGORITHM, CHECKSUM_ALGORITHMS))
        .finish()
}
