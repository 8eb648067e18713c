//! Bytes of a request's body, on their way from the HTTP thread to the upload.

use actix_web::web::Payload;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;

use crate::actions::uploads::Piece;

/// Passes on the whole body. The last piece is missing when the body is cut off, and nothing more is read when the receiver is
/// gone: it has failed, and says why.
pub(super) async fn forward(mut body: Payload, pieces: Sender<Piece>) {
    while let Some(next) = body.next().await {
        let Ok(bytes) = next else { return };
        if !send(&pieces, bytes).await {
            return;
        }
    }
    let _ = pieces.send(Piece::End).await;
}

/// Passes on some bytes. False when the receiver is gone.
pub(super) async fn send(pieces: &Sender<Piece>, bytes: Bytes) -> bool {
    bytes.is_empty() || pieces.send(Piece::Bytes(bytes)).await.is_ok()
}
