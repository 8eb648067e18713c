//! `POST /uploads`: starts an upload, and takes its first bytes if the request brings some.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{Data, Payload};

use super::body_pieces::forward;
use super::headers::{self, UPLOAD_METADATA};
use crate::actions::uploads::{self, NewUpload, Started};
use crate::domain::uploads::{GivenFields, TusMetadata};
use crate::domain::{Error, ErrorCode, MediaType, Result};
use crate::http::AppState;
use crate::http::error::HttpResult;

pub(in crate::http) async fn create(
    request: HttpRequest,
    state: Data<AppState>,
    body: Payload,
) -> HttpResult {
    headers::check_version(&request)?;
    let length = headers::length(&request)?;
    let has_bytes = headers::has_bytes(&request)?;
    let checksum = headers::checksum(&request)?;
    let new = new_upload(&request, &state, length)?;
    if !has_bytes {
        let (id, offset, expires_at, file) = state
            .run(move |ctx| async move {
                let Started { file, receiver } = uploads::start(&ctx, &new).await?;
                if length == Some(0) {
                    let (_, pieces) = uploads::pieces();
                    let appended = uploads::write(&ctx, receiver, None, pieces).await?;
                    return Ok((file.id, appended.offset, None, appended.file));
                }
                receiver.release().await?;
                Ok((file.id, 0, Some(file.created_at.plus(new.expires_in)), None))
            })
            .await?;
        let mut answer = headers::answer(StatusCode::CREATED);
        answer.insert_header((header::LOCATION, headers::location(&state, id)));
        headers::insert_state(&mut answer, offset, expires_at, file.as_ref());
        return Ok(answer.finish());
    }
    let (sender, pieces) = uploads::pieces();
    let write = state.run(move |ctx| async move {
        let Started { file, receiver } = uploads::start(&ctx, &new).await?;
        let appended = match uploads::write(&ctx, receiver, checksum, pieces).await {
            Ok(appended) => appended,
            // No answer tells the client where the upload is.
            Err(error) => {
                if let Err(failed) = uploads::fail(&ctx, file.id, &error.detail).await {
                    log::warn!(file_id = file.id.0, error:% = failed.chain(); "upload not ended; it expires");
                }
                return Err(error);
            }
        };
        Ok((file.id, file.created_at.plus(new.expires_in), appended))
    });
    let (written, ()) = futures_util::join!(write, forward(body, sender));
    let (id, expires_at, appended) = written?;
    let mut answer = headers::answer(StatusCode::CREATED);
    answer.insert_header((header::LOCATION, headers::location(&state, id)));
    let expires_at = appended.file.is_none().then_some(expires_at);
    headers::insert_state(&mut answer, appended.offset, expires_at, appended.file.as_ref());
    Ok(answer.finish())
}

fn new_upload(request: &HttpRequest, state: &AppState, length: Option<u64>) -> Result<NewUpload> {
    let text = headers::single(request, &UPLOAD_METADATA)?;
    let metadata = TusMetadata::parse(text.unwrap_or_default())
        .map_err(|error| Error::new(ErrorCode::MalformedRequest, error.to_string()))?;
    let fields = GivenFields::from_metadata(&metadata).check(None, None)?;
    let media_type = fields.claimed_type.clone().unwrap_or_else(MediaType::unknown);
    Ok(NewUpload {
        fields,
        media_type,
        warning: None,
        length,
        is_resumable: true,
        tus_metadata: text.map(str::to_owned),
        expires_in: state.ctx.uploads.expiry,
    })
}
