//! Store the end of what a request brings: as a tail for the next request, or as the end of the object.

use sha2::{Digest, Sha256};

use super::Receiver;
use super::receive::{lock_lost, tail_key};
use crate::db::uploads::Tail;
use crate::domain::{Error, Result};
use crate::faults;
use crate::storage::{StorageError, Stored};

/// Minimum size of every part but the last (S3).
const MIN_PART_BYTES: usize = 5 << 20;
/// Media type of what has none of its own.
const OCTETS: &str = "application/octet-stream";

impl Receiver {
    async fn all_parts_stored(&mut self) -> Result<()> {
        while !self.sending.is_empty() {
            self.part_stored().await?;
        }
        Ok(())
    }

    /// Stores all that has arrived so that a later request can go on behind it, and gives the lock back. Returns the number of
    /// stored bytes. After an error the lock is still held.
    pub async fn suspend(&mut self) -> Result<u64> {
        if self.received() > 0 {
            self.tell_type().await?;
        }
        if self.buffer.size() >= MIN_PART_BYTES {
            self.send_part().await?;
        }
        self.all_parts_stored().await?;
        let mut tail = Tail { size: 0, ..self.tail };
        if self.buffer.size() > 0 {
            if !tail.may_exist && !self.ctx.db.uploads().announce_tails(self.id, self.lock).await? {
                return Err(lock_lost());
            }
            tail = Tail { size: self.buffer.size() as u64, number: tail.number + 1, may_exist: true };
            let mut sha256 = Sha256::new();
            self.buffer.pieces().iter().for_each(|piece| sha256.update(piece));
            let key = tail_key(&self.key, tail.number);
            let put =
                self.ctx.storage.put_pieces(&key, OCTETS, self.buffer.pieces(), sha256.finalize().into());
            let stored = put.await;
            self.certain(stored)?;
            faults::point!(UploadTailStored);
        }
        let progress = self.progress(Some(tail))?;
        let uploads = self.ctx.db.uploads();
        if !uploads.commit_progress(self.id, self.lock, progress, true).await? {
            return Err(lock_lost());
        }
        Ok(self.received())
    }

    /// Makes all that has arrived the object. It can be repeated by any process once the parts are committed.
    pub async fn store_object(&mut self) -> Result<Stored> {
        let stored = self.digest.stored();
        if self.s3_upload_id.is_none() {
            let digest = self.digest.digest();
            let put =
                self.ctx.storage.put_pieces(&self.key, &self.content_type, self.buffer.pieces(), digest);
            let put = put.await;
            self.certain(put)?;
            faults::point!(UploadObjectStored);
            return Ok(stored);
        }
        if self.buffer.size() > 0 {
            self.send_part().await?;
        }
        self.all_parts_stored().await?;
        if self.has_new_parts() {
            // Whoever goes on after a crash must find all of them.
            self.commit_parts().await?;
        }
        let upload_id = self.multipart_id().await?;
        let completed = self.ctx.storage.complete_upload(&self.key, &upload_id, &self.parts).await;
        match self.certain(completed) {
            // Completed before, by a process that crashed or whose answer was lost: the object is compared below.
            Ok(()) | Err(StorageError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        faults::point!(UploadObjectStored);
        let object = self.ctx.storage.head(&self.key).await?;
        let is_confirmed = self.parts.iter().all(|part| part.confirmed);
        let is_whole = match object {
            Some(object) if object.size == stored.size => {
                is_confirmed || self.ctx.storage.digest(&self.key).await? == stored
            }
            Some(_) | None => false,
        };
        if is_whole { Ok(stored) } else { Err(Error::internal("the store did not keep the uploaded bytes")) }
    }
}
