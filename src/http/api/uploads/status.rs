//! `HEAD /uploads/{id}`: how many bytes are stored.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::headers::{self, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA};
use crate::actions::uploads::{self, Upload};
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::FileIdParam;

pub(in crate::http) async fn status(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
) -> HttpResult {
    headers::check_version(&request)?;
    let mut answer = headers::answer(StatusCode::OK);
    match state.run(move |ctx| async move { uploads::get(&ctx, id).await }).await? {
        Upload::Unfinished(row) => {
            headers::insert_state(&mut answer, row.stored, Some(row.expires_at), None);
            match row.length {
                Some(length) => answer.insert_header((UPLOAD_LENGTH, length)),
                None => answer.insert_header((UPLOAD_DEFER_LENGTH, "1")),
            };
            if let Some(metadata) = row.tus_metadata {
                answer.insert_header((UPLOAD_METADATA, metadata));
            }
        }
        Upload::Stored(file) => {
            let size = file.size.unwrap_or_default().unsigned_abs();
            headers::insert_state(&mut answer, size, None, Some(&file));
            answer.insert_header((UPLOAD_LENGTH, size));
        }
    }
    Ok(answer.finish())
}
