//! Upload a file in one request: it arrives whole, or there is no file.

use bytes::BytesMut;

use super::fill::{Piece, Pieces};
use super::{NewUpload, Receiver, SINGLE_REQUEST_EXPIRY, Started, abort, describe, finish, start};
use crate::actions::ServeContext;
use crate::domain::uploads::UploadFields;
use crate::domain::{Error, ErrorCode, File, Result};

/// Bytes by which the media type is told. Less than a piece in most requests.
const HEAD_BYTES: usize = 8 << 10;

/// Uploads the pieces of a request as one file. `fields` are those that came first; `last_fields` gives them all, once the last
/// piece has come. A request that is cut off leaves a failed file, or none when it was cut off within its first bytes.
pub async fn upload(
    ctx: &ServeContext,
    fields: UploadFields,
    mut pieces: Pieces,
    last_fields: tokio::sync::oneshot::Receiver<UploadFields>,
) -> Result<File> {
    let (head, has_ended) = first_bytes(&mut pieces).await?;
    let detected = describe::media_type(ctx, &head, fields.claimed_type.as_ref(), &fields.file_name)?;
    let new = NewUpload {
        fields,
        media_type: detected.media_type,
        warning: detected.warning,
        length: None,
        is_resumable: false,
        tus_metadata: None,
        expires_in: SINGLE_REQUEST_EXPIRY,
    };
    let Started { mut receiver, .. } = start(ctx, &new).await?;
    let received = async {
        receiver.push(head.freeze()).await?;
        if !has_ended && !receiver.fill(&mut pieces).await? {
            return Err(cut_off(&receiver));
        }
        // Without them the form did not come to its end.
        let last = last_fields.await.map_err(|_| cut_off(&receiver))?;
        if let Some(sha256) = &last.sha256 {
            receiver.expect_sha256(sha256.to_string());
        }
        if last != new.fields {
            describe::by_fields(ctx, receiver.lock_id(), &last).await?;
        }
        finish(ctx, &mut receiver).await
    };
    match received.await {
        Ok(file) => Ok(file),
        Err(error) => {
            // A lost commit leaves the decision to the row: the upload may have ended as a file.
            if let Err(failed) = abort(ctx, receiver, &error.detail).await {
                log::warn!(error:% = failed.chain(); "upload not ended; it expires");
            }
            Err(error)
        }
    }
}

async fn first_bytes(pieces: &mut Pieces) -> Result<(BytesMut, bool)> {
    let mut head = BytesMut::new();
    while head.len() < HEAD_BYTES {
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => head.extend_from_slice(&bytes),
            Some(Piece::End) => return Ok((head, true)),
            None => return Err(Error::new(ErrorCode::MalformedRequest, "the request was cut off")),
        }
    }
    Ok((head, false))
}

fn cut_off(receiver: &Receiver) -> Error {
    let detail = format!("the request was cut off after {} bytes", receiver.received());
    Error::new(ErrorCode::MalformedRequest, detail)
}
