//! Whole objects: stored, removed and looked up, each confirmed by the store.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderName;
use http::header::ETAG;
use sha2::{Digest, Sha256};

use super::client::request::Request;
use super::listing::ListedObject;
use super::{Storage, StorageError, hex, retry};

const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

/// Size and digest that the store has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub size: i64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Answer of a store to a body with a checksum.
pub(super) struct Confirmation {
    pub etag: String,
    /// The store has returned the checksum. One that knows none returns nothing.
    pub is_confirmed: bool,
}

impl Stored {
    /// Computes what a store that holds these bytes must confirm.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: i64::try_from(bytes.len()).unwrap_or(i64::MAX), sha256: hex(&Sha256::digest(bytes)) }
    }
}

impl Storage {
    /// Stores the bytes under `key`, replacing what was there. `Ok` means that the store confirmed size and SHA-256.
    /// Nothing is tried again: the caller has a plan for outages.
    pub async fn put(&self, key: &str, content_type: &str, bytes: &Bytes) -> Result<Stored, StorageError> {
        let sha256 = Sha256::digest(bytes).into();
        let bytes = std::slice::from_ref(bytes);
        self.track_outage(self.put_and_verify(key, content_type, bytes, sha256).await)
    }

    /// Does the same for a body in pieces, which are not joined, and whose digest the caller has computed. What the store
    /// can't do for a moment is tried again a few times, while the caller holds the bytes anyway.
    pub async fn put_pieces(
        &self,
        key: &str,
        content_type: &str,
        pieces: &[Bytes],
        sha256: [u8; 32],
    ) -> Result<Stored, StorageError> {
        let put = || self.put_and_verify(key, content_type, pieces, sha256);
        self.track_outage(retry::while_unavailable(put).await)
    }

    async fn put_and_verify(
        &self,
        key: &str,
        content_type: &str,
        pieces: &[Bytes],
        sha256: [u8; 32],
    ) -> Result<Stored, StorageError> {
        let size: usize = pieces.iter().map(Bytes::len).sum();
        let stored = Stored { size: i64::try_from(size).unwrap_or(i64::MAX), sha256: hex(&sha256) };
        let request = Request::put(key, &[]).with_content_type(content_type)?;
        match self.send_with_checksum(request, pieces, sha256).await {
            Ok(Confirmation { is_confirmed: true, .. }) => Ok(stored),
            // A store without checksums confirms nothing: the object is read back.
            Ok(_) => self.read_back(key, &stored).await.map(|()| stored),
            // A PUT needs no object, so it is the bucket that is missing.
            Err(StorageError::NotFound(text)) => Err(StorageError::NoBucket(text)),
            Err(error) => Err(error),
        }
    }

    /// Sends a body with its checksum, so that the store itself refuses bytes that were altered on the way.
    pub(super) async fn send_with_checksum(
        &self,
        request: Request<'_>,
        pieces: &[Bytes],
        sha256: [u8; 32],
    ) -> Result<Confirmation, StorageError> {
        let sent = BASE64_STANDARD.encode(sha256);
        let request = request.with_header(CHECKSUM, &sent)?.with_body(pieces.to_vec());
        let response = self.client.send_for_object(request).await?;
        let headers = response.headers();
        let is_confirmed = match headers.get(&CHECKSUM) {
            Some(confirmed) if *confirmed == sent => true,
            Some(other) => return Err(StorageError::Corrupt(format!("sent {sent}, stored {other:?}"))),
            None => false,
        };
        let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Confirmation { etag, is_confirmed })
    }

    /// Reads a whole object back and compares it with what it must be. `Corrupt` when it is another one or missing.
    pub async fn verify(&self, key: &str, expected: &Stored) -> Result<(), StorageError> {
        self.track_outage(self.read_back(key, expected).await)
    }

    async fn read_back(&self, key: &str, expected: &Stored) -> Result<(), StorageError> {
        let found = match self.digest(key).await {
            // Not `NotFound`, which would be the caller's fault: the store has just acknowledged the object.
            Err(StorageError::NotFound(_)) => "nothing".to_owned(),
            found => found?.sha256,
        };
        if found == expected.sha256 {
            return Ok(());
        }
        Err(StorageError::Corrupt(format!("{key}: sent {}, stored {found}", expected.sha256)))
    }

    /// Removes the object under `key`, if there is one. `Ok` means that the store confirmed that there is none.
    pub async fn remove(&self, key: &str) -> Result<(), StorageError> {
        self.track_outage(self.remove_and_verify(key).await)
    }

    async fn remove_and_verify(&self, key: &str) -> Result<(), StorageError> {
        match self.client.send(Request::delete(key, &[])).await {
            Ok(_) | Err(StorageError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        // S3 acknowledges a DELETE of a missing key as well, so only a GET shows that it is gone. Its body is not read.
        match self.client.send_for_object(Request::get(key, &[])).await {
            Err(StorageError::NotFound(_)) => Ok(()),
            Ok(_) => Err(StorageError::Other(format!("{key} is still there after it was deleted"))),
            Err(error) => Err(error),
        }
    }

    /// Describes an object; `None` when there is no such object.
    pub async fn head(&self, key: &str) -> Result<Option<ListedObject>, StorageError> {
        // By a listing: it tells what a HEAD would, and rust-s3 can sign it in the URL.
        let page = self.list_objects(key, None).await?;
        Ok(page.objects.into_iter().find(|object| object.key == key))
    }

    /// Reads a whole object, a piece at a time, and returns its size and digest. `NotFound` when there is none.
    pub async fn digest(&self, key: &str) -> Result<Stored, StorageError> {
        let (_, bytes) = self.open(key, None).await?;
        let mut bytes = std::pin::pin!(bytes);
        let mut digest = Sha256::new();
        let mut size = 0;
        while let Some(piece) = bytes.next().await {
            let piece = piece?;
            digest.update(&piece);
            size += piece.len();
        }
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Ok(Stored { size, sha256: hex(&digest.finalize()) })
    }
}
