//! Whole objects: stored, removed and looked up, each confirmed by the store.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::client::request::Request;
use super::listing::ListedObject;
use super::{Storage, StorageError, hex};

const CHECKSUM: &str = "x-amz-checksum-sha256";

/// Size and digest that the store has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub size: i64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

impl Stored {
    /// Computes what a store that holds these bytes must confirm.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: i64::try_from(bytes.len()).unwrap_or(i64::MAX), sha256: hex(&Sha256::digest(bytes)) }
    }
}

impl Storage {
    /// Stores the bytes under `key`, replacing what was there. `Ok` means that the store confirmed size and SHA-256.
    pub async fn put(&self, key: &str, content_type: &str, bytes: &Bytes) -> Result<Stored, StorageError> {
        self.track_outage(self.put_and_verify(key, content_type, bytes).await)
    }

    async fn put_and_verify(
        &self,
        key: &str,
        content_type: &str,
        bytes: &Bytes,
    ) -> Result<Stored, StorageError> {
        let digest = Sha256::digest(bytes);
        let expected = BASE64_STANDARD.encode(digest);
        // With the checksum in the request, the store itself refuses bytes that were altered on the way.
        let headers = [("content-type", content_type), (CHECKSUM, &expected)];
        let request = Request::put(key, &headers, bytes.clone())?;
        let response = match self.client.send_for_object(request).await {
            // A PUT needs no object, so it is the bucket that is missing.
            Err(StorageError::NotFound(text)) => return Err(StorageError::NoBucket(text)),
            response => response?,
        };
        let stored = Stored { size: i64::try_from(bytes.len()).unwrap_or(i64::MAX), sha256: hex(&digest) };
        match response.headers().get(CHECKSUM) {
            Some(confirmed) if *confirmed == expected => Ok(stored),
            Some(other) => Err(StorageError::Corrupt(format!("{key}: sent {expected}, stored {other:?}"))),
            // A store without checksums confirms nothing: the object is read back.
            None => self.verify(key, &stored).await.map(|()| stored),
        }
    }

    async fn verify(&self, key: &str, expected: &Stored) -> Result<(), StorageError> {
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
        match self.client.send(Request::delete(key)).await {
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
