//! The part of an upload that is being filled.

use bytes::Bytes;

use super::memory::{Reservation, UploadMemory};
use crate::domain::Result;

/// Bytes that have arrived and are not on their way to the store, in the pieces in which they came.
#[derive(Debug, Default)]
pub(super) struct PartBuffer {
    pieces: Vec<Bytes>,
    size: usize,
    reservation: Reservation,
}

impl PartBuffer {
    /// Adds bytes, once there is memory for them.
    pub async fn push(&mut self, memory: &UploadMemory, bytes: Bytes) -> Result<()> {
        memory.grow(&mut self.reservation, self.size + bytes.len()).await?;
        self.size += bytes.len();
        self.pieces.push(bytes);
        Ok(())
    }

    /// Returns the number of bytes.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Returns the bytes in pieces.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }
}
