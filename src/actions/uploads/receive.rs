//! Receive the bytes of an upload: parts go to the store while others arrive, and what is stored is committed in between.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio_util::task::AbortOnDropHandle;

use super::part::PartBuffer;
use super::{LOCK_LEASE, PART_BYTES, PROGRESS_INTERVAL, describe, keep};
use crate::actions::ServeContext;
use crate::db::uploads::{ANNOUNCED, LockId, Multipart, Tail, UploadProgress, UploadRow};
use crate::domain::{Error, ErrorCode, File, FileId, Result};
use crate::faults;
use crate::storage::{Part, RunningDigest, StorageError, UnfinishedUpload, object_keys};

/// Parts of one upload that are sent at once.
const MAX_SENDING: usize = 2;
/// First bytes that are kept, to tell the media type by.
const HEAD_BYTES: usize = 64 << 10;
/// Maximum number of parts (S3).
const MAX_PARTS: usize = 10_000;

/// Writer of one upload, for the time in which its request holds the lock.
pub struct Receiver {
    pub(super) ctx: ServeContext,
    pub(super) lock: LockId,
    pub(super) id: FileId,
    pub(super) key: String,
    pub(super) content_type: String,
    /// SHA-256 that the client announced.
    wanted_sha256: Option<String>,
    /// Announced number of bytes.
    pub(crate) length: Option<u64>,
    /// Maximum number of bytes of an upload.
    max_bytes: u64,
    /// Time after which the upload expires when nothing arrives.
    expires_in: Duration,
    pub(super) digest: RunningDigest,
    pub(super) buffer: PartBuffer,
    /// First bytes, until the media type is told by them.
    head: Option<Vec<u8>>,
    pub(super) s3_upload_id: Option<String>,
    /// The row tells that there may be a multipart upload, also while its id is not known.
    is_multipart_announced: bool,
    /// Stored parts, in order.
    pub(super) parts: Vec<Part>,
    /// Number of parts that the row names.
    committed_parts: usize,
    /// Parts that are on their way, in order, each with the digest's state behind it.
    pub(super) sending: VecDeque<(AbortOnDropHandle<Result<Part, StorageError>>, RunningDigest)>,
    /// Digest over the stored parts.
    stored: RunningDigest,
    pub(super) tail: Tail,
    committed_at: Instant,
    /// The outcome of a request to the store is not known: it may still be carried out.
    pub(super) is_uncertain: bool,
    /// False while nothing may be committed, because a checksum over all that comes is still to be compared.
    pub(crate) commits: bool,
    _keeper: AbortOnDropHandle<()>,
}

/// Settings of a receiver.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceiveOptions {
    pub max_bytes: u64,
    pub expires_in: Duration,
    /// Several requests may write to the upload; the media type is told when its first bytes have come.
    pub is_resumable: bool,
}

impl Receiver {
    /// Goes on with an upload whose lock is held. The bytes behind its last part are read back.
    pub(super) async fn resume(
        ctx: &ServeContext,
        row: UploadRow,
        lock: LockId,
        file: &File,
        options: ReceiveOptions,
    ) -> Result<Self> {
        let broken = || Error::internal("the row of the upload can't be read");
        let digest = match &row.sha256_state {
            Some(state) => RunningDigest::resume(state, row.stored).ok_or_else(broken)?,
            None => RunningDigest::default(),
        };
        let (s3_upload_id, parts) = match row.multipart {
            None => (None, Vec::new()),
            Some(Multipart { id, parts }) => {
                let parts = serde_json::from_value(parts).map_err(|error| broken().because(error))?;
                (Some(id), parts)
            }
        };
        let is_multipart_announced = s3_upload_id.is_some();
        let s3_upload_id = s3_upload_id.filter(|id| id != ANNOUNCED);
        let mut receiver = Self {
            ctx: ctx.clone(),
            lock,
            id: row.file_id,
            key: row.key,
            content_type: file.content_type.clone(),
            wanted_sha256: row.wanted_sha256,
            length: row.length,
            max_bytes: options.max_bytes,
            expires_in: options.expires_in,
            stored: digest.clone(),
            digest,
            buffer: PartBuffer::default(),
            head: (options.is_resumable && row.stored == 0).then(Vec::new),
            s3_upload_id,
            is_multipart_announced,
            committed_parts: parts.len(),
            parts,
            sending: VecDeque::new(),
            tail: row.tail,
            committed_at: Instant::now(),
            is_uncertain: false,
            commits: true,
            _keeper: keep::keep(ctx, row.file_id, lock),
        };
        receiver.load_tail().await?;
        Ok(receiver)
    }

    /// Returns the number of bytes that have arrived.
    pub fn received(&self) -> u64 {
        self.digest.size()
    }

    /// Returns the key of the object.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Returns the id of the upload and that of the lock.
    pub(super) const fn lock_id(&self) -> (FileId, LockId) {
        (self.id, self.lock)
    }

    /// Sets the number of bytes, where the client tells it later.
    pub(super) fn set_length(&mut self, length: Option<u64>) -> Result<()> {
        match (length, self.length) {
            (None, _) => Ok(()),
            (Some(told), Some(known)) if told == known => Ok(()),
            (Some(told), None) if told < self.received() => {
                let detail =
                    format!("Upload-Length is less than the {} bytes that are stored", self.received());
                Err(Error::new(ErrorCode::UploadTooLarge, detail))
            }
            (Some(told), None) if told > self.max_bytes => Err(too_large(self.max_bytes)),
            (Some(told), None) => {
                self.length = Some(told);
                Ok(())
            }
            (Some(_), Some(known)) => {
                let detail = format!("Upload-Length was {known} before; it can't be changed");
                Err(Error::new(ErrorCode::MalformedRequest, detail))
            }
        }
    }

    /// Decides about the media type by the first bytes, unless that was done before.
    pub(super) async fn tell_type(&mut self) -> Result<()> {
        match self.head.take() {
            Some(head) => describe::by_content(&self.ctx, self.id, self.lock, &head).await,
            None => Ok(()),
        }
    }

    /// Sets the SHA-256 that the client announces.
    pub fn expect_sha256(&mut self, sha256: String) {
        self.wanted_sha256 = Some(sha256);
    }

    /// Compares what has arrived with what the client announced.
    pub(super) fn check_digest(&self) -> Result<()> {
        let found = self.digest.stored().sha256;
        match &self.wanted_sha256 {
            Some(wanted) if *wanted != found => {
                let detail = format!("the bytes that arrived have the SHA-256 {found}, not {wanted}");
                Err(Error::new(ErrorCode::DigestMismatch, detail))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn load_tail(&mut self) -> Result<()> {
        if self.tail.size == 0 {
            return Ok(());
        }
        let key = tail_key(&self.key, self.tail.number);
        let (_, bytes) = match self.ctx.storage.open(&key, None).await {
            // Not `NotFound`, which would be the client's fault.
            Err(error @ StorageError::NotFound(_)) => {
                return Err(Error::internal("stored bytes of the upload are gone").because(error));
            }
            opened => opened?,
        };
        let mut bytes = std::pin::pin!(bytes);
        while let Some(piece) = bytes.next().await {
            self.buffer.push(&self.ctx.upload_memory, piece?).await?;
        }
        if self.buffer.size() as u64 != self.tail.size {
            return Err(Error::internal("the stored bytes of the upload are not those of its row"));
        }
        Ok(())
    }

    /// Takes bytes that have arrived. Waits while the store or the memory can't take more.
    pub async fn push(&mut self, mut bytes: Bytes) -> Result<()> {
        let total = self.received() + bytes.len() as u64;
        if let Some(length) = self.length
            && total > length
        {
            let detail = format!("more bytes arrive than the {length} that were announced");
            return Err(Error::new(ErrorCode::UploadTooLarge, detail));
        }
        if total > self.max_bytes {
            return Err(too_large(self.max_bytes));
        }
        if let Some(head) = &mut self.head {
            let missing = HEAD_BYTES.saturating_sub(head.len()).min(bytes.len());
            head.extend_from_slice(&bytes[..missing]);
        }
        while !bytes.is_empty() {
            // Only now: a full part that nothing follows is the last one, and if it is the first one as well it is stored with a
            // single PUT.
            if self.buffer.size() >= PART_BYTES {
                self.send_part().await?;
            }
            let now = bytes.split_to(bytes.len().min(PART_BYTES - self.buffer.size()));
            self.digest.update(&now);
            self.buffer.push(&self.ctx.upload_memory, now).await?;
        }
        if self.committed_at.elapsed() >= PROGRESS_INTERVAL {
            self.commit_progress().await?;
        }
        Ok(())
    }

    /// Sends what is in the buffer as the next part, in the background. Waits while enough parts are on their way.
    pub(super) async fn send_part(&mut self) -> Result<()> {
        let number = u16::try_from(self.parts.len() + self.sending.len() + 1)
            .ok()
            .filter(|number| usize::from(*number) <= MAX_PARTS)
            .ok_or_else(|| too_large((MAX_PARTS * PART_BYTES) as u64))?;
        let upload_id = self.multipart_id().await?;
        while self.sending.len() >= MAX_SENDING {
            self.part_stored().await?;
        }
        let buffer = std::mem::take(&mut self.buffer);
        let (storage, key) = (self.ctx.storage.clone(), self.key.clone());
        let send = async move {
            let mut sha256 = Sha256::new();
            buffer.pieces().iter().for_each(|piece| sha256.update(piece));
            // The buffer gives its memory back when the part is stored.
            storage.put_part(&key, &upload_id, number, buffer.pieces(), sha256.finalize().into()).await
        };
        self.sending.push_back((AbortOnDropHandle::new(tokio::spawn(send)), self.digest.clone()));
        Ok(())
    }

    /// Waits until the oldest part on its way is stored.
    pub(super) async fn part_stored(&mut self) -> Result<()> {
        let Some((sending, digest)) = self.sending.pop_front() else { return Ok(()) };
        let part = sending.await.map_err(|error| Error::internal("a part was not sent").because(error))?;
        faults::point!(UploadPartStored);
        let part = self.certain(part)?;
        self.parts.push(part);
        self.stored = digest;
        self.tail.size = 0;
        Ok(())
    }

    /// Returns the id of the store's multipart upload, which it starts before the first part.
    pub(super) async fn multipart_id(&mut self) -> Result<String> {
        if let Some(id) = &self.s3_upload_id {
            return Ok(id.clone());
        }
        let uploads = self.ctx.db.uploads();
        if self.is_multipart_announced {
            // Started by a request that ended before it could write down the id.
            self.ctx.storage.abort_uploads(&self.key).await?;
        } else if uploads.set_multipart(self.id, self.lock, ANNOUNCED).await? {
            self.is_multipart_announced = true;
        } else {
            return Err(lock_lost());
        }
        let id = self.ctx.storage.start_upload(&self.key, &self.content_type).await?;
        if !uploads.set_multipart(self.id, self.lock, &id).await? {
            // This one only: the request that has the lock now may have started its own.
            let key = self.key.clone();
            let started = UnfinishedUpload { key, id, started: self.ctx.db.now().await? };
            self.ctx.storage.abort_upload(&started).await?;
            return Err(lock_lost());
        }
        self.s3_upload_id = Some(id.clone());
        Ok(id)
    }

    /// Commits the parts that are stored. `UploadLocked` when the lock is lost, or the upload has ended.
    pub async fn commit_progress(&mut self) -> Result<()> {
        while self.sending.front().is_some_and(|(part, _)| part.is_finished()) {
            self.part_stored().await?;
        }
        self.committed_at = Instant::now();
        if self.stored.size() > 0 {
            self.tell_type().await?;
        }
        if self.commits && self.has_new_parts() {
            return self.commit_parts().await;
        }
        let is_ours = self.ctx.db.uploads().extend_lock(self.id, self.lock, LOCK_LEASE).await?;
        if is_ours { Ok(()) } else { Err(lock_lost()) }
    }

    /// Tells whether parts are stored that the row doesn't name.
    pub(super) fn has_new_parts(&self) -> bool {
        self.parts.len() > self.committed_parts
    }

    /// Commits the stored parts.
    pub(super) async fn commit_parts(&mut self) -> Result<()> {
        let progress = self.progress(None)?;
        if !self.ctx.db.uploads().commit_progress(self.id, self.lock, progress, false).await? {
            return Err(lock_lost());
        }
        self.committed_parts = self.parts.len();
        Ok(())
    }

    /// Returns what is to be committed; with a tail all that has arrived is stored.
    pub(super) fn progress(&self, tail: Option<Tail>) -> Result<UploadProgress> {
        let digest = if tail.is_some() { &self.digest } else { &self.stored };
        let multipart = match &self.s3_upload_id {
            None if self.is_multipart_announced => {
                Some(Multipart { id: ANNOUNCED.to_owned(), parts: serde_json::Value::Array(Vec::new()) })
            }
            None => None,
            Some(id) => {
                let parts = serde_json::to_value(&self.parts)
                    .map_err(|error| Error::internal("unwritable parts").because(error))?;
                Some(Multipart { id: id.clone(), parts })
            }
        };
        Ok(UploadProgress {
            stored: digest.size(),
            sha256_state: digest.state(),
            multipart,
            tail: tail.unwrap_or(self.tail),
            length: self.length,
            expires_in: self.expires_in,
        })
    }
}

pub(super) fn tail_key(key: &str, number: u64) -> String {
    object_keys::tail_key(key, u8::from(number % 2 == 1))
}

/// Makes the error of an upload that is larger than allowed.
pub(super) fn too_large(max_bytes: u64) -> Error {
    Error::new(ErrorCode::UploadTooLarge, format!("an upload may have at most {max_bytes} bytes"))
}

pub(super) fn lock_lost() -> Error {
    Error::new(ErrorCode::UploadLocked, "another request has taken over this upload")
}
