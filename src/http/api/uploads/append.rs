//! `PATCH /uploads/{id}`: appends the body behind the stored bytes.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};

use super::body_pieces::forward;
use super::headers::{self, UPLOAD_LENGTH, UPLOAD_OFFSET};
use crate::actions::uploads::{self, AppendRequest};
use crate::domain::{Error, ErrorCode, Timestamp};
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::extract::FileIdParam;

pub(in crate::http) async fn append(
    request: HttpRequest,
    state: Data<AppState>,
    FileIdParam(id): FileIdParam,
    body: Payload,
) -> HttpResult {
    headers::check_version(&request)?;
    if !headers::has_bytes(&request)? {
        let detail = "the content type of bytes to append is application/offset+octet-stream";
        return Err(Error::new(ErrorCode::UnsupportedMediaType, detail).into());
    }
    let offset = headers::number(&request, &UPLOAD_OFFSET)?
        .ok_or_else(|| Error::new(ErrorCode::MalformedRequest, "the header Upload-Offset is missing"))?;
    let length = headers::number(&request, &UPLOAD_LENGTH)?;
    let checksum = headers::checksum(&request)?;
    let append = AppendRequest { offset, length, checksum };
    let (sender, pieces) = uploads::pieces();
    let write = state.run(move |ctx| async move { uploads::append(&ctx, id, append, pieces).await });
    let (appended, ()) = futures_util::join!(write, forward(body, sender));
    let appended = appended?;
    let expires_at = Timestamp::now().plus(state.ctx.uploads.expiry);
    let mut answer = headers::answer(StatusCode::NO_CONTENT);
    let expires_at = appended.file.is_none().then_some(expires_at);
    headers::insert_state(&mut answer, appended.offset, expires_at, appended.file.as_ref());
    Ok(answer.finish())
}
