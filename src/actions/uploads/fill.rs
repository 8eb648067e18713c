//! Pass the bytes of a request to the receiver of its upload.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{PROGRESS_INTERVAL, Receiver};
use crate::domain::Result;

/// Pieces between a request and its receiver. The client is not read while they wait.
const MAX_WAITING: usize = 4;

/// Part of what a request sends.
#[derive(Debug)]
pub enum Piece {
    Bytes(Bytes),
    /// Nothing follows. Without it the request was cut off.
    End,
}

/// Pieces of one request, as they arrive.
pub type Pieces = mpsc::Receiver<Piece>;

/// Makes the channel for the pieces of one request.
pub fn pieces() -> (mpsc::Sender<Piece>, Pieces) {
    mpsc::channel(MAX_WAITING)
}

impl Receiver {
    /// Takes all pieces. Returns true when the last one came, false when the request was cut off.
    pub async fn fill(&mut self, pieces: &mut Pieces) -> Result<bool> {
        loop {
            match tokio::time::timeout(PROGRESS_INTERVAL, pieces.recv()).await {
                Ok(Some(Piece::Bytes(bytes))) => self.push(bytes).await?,
                Ok(Some(Piece::End)) => return Ok(true),
                Ok(None) => return Ok(false),
                // Nothing arrives for now; the lock must not end meanwhile.
                Err(_) => self.commit_progress().await?,
            }
        }
    }
}
