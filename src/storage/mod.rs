//! S3: put and verify, open for reading, probe. The only home of the S3 client.

mod clock;
mod error_codes;
pub mod errors;
pub mod inventory;
pub mod key;
mod multipart;
mod proof;
mod signed;
mod verified;
mod xml;

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sha2::{Digest, Sha256};

use self::proof::ProofKey;
use self::signed::{Ask, SignedClient};
use self::verified::verified;
use crate::config::S3Config;
use crate::domain::ByteRange;
use crate::telemetry::Outage;

pub use errors::StorageError;

/// Time limits of everything that waits for the store.
pub mod limits {
    use std::time::Duration;

    /// Time limit of a whole request that isn't a download: of one that gets lost on its way no more than this is waited
    /// for.
    pub const REQUEST: Duration = Duration::from_secs(8);
    /// Time added for each MiB that it carries.
    pub const REQUEST_PER_MIB: Duration = Duration::from_secs(1);
    /// Time limit until a download's headers are here.
    pub const OPEN: Duration = Duration::from_secs(10);
    /// Between two pieces of a download.
    pub const IDLE: Duration = Duration::from_secs(30);
    /// Maximum bytes of a page of a listing: 1000 keys of 1024 bytes, each byte escaped, fit in.
    pub const LISTING_BYTES: usize = 8 << 20;
    /// Maximum bytes of an error.
    pub const ERROR_BYTES: usize = 64 << 10;
}

/// A bucket. Cheap to clone; connections are kept alive and shared.
#[derive(Clone)]
pub struct Storage {
    client: SignedClient,
    proof_key: ProofKey,
    outage: Arc<Outage>,
}

/// What the store confirmed to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub size: i64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

impl Stored {
    /// What a store that keeps these bytes must confirm.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: i64::try_from(bytes.len()).unwrap_or(i64::MAX), sha256: hex(&Sha256::digest(bytes)) }
    }
}

const CHECKSUM: &str = "x-amz-checksum-sha256";

impl Storage {
    /// Makes the client; nothing is asked of the store yet.
    pub fn new(config: &S3Config) -> Result<Self, StorageError> {
        let outage = Arc::new(Outage::new("s3 is away", "s3 is back"));
        let proof_key = ProofKey::new(&config.secret_access_key);
        Ok(Self { client: SignedClient::new(config)?, proof_key, outage })
    }

    /// Returns the bucket's name.
    pub fn bucket_name(&self) -> String {
        self.client.bucket_name()
    }

    /// Makes one round trip: is the store there, do our credentials work, is the bucket there?
    pub async fn ping(&self) -> Result<(), StorageError> {
        self.noted(self.list().await)
    }

    /// By how many seconds the store's clock is ahead of this machine's; `None` when the store doesn't tell its time.
    pub async fn clock_ahead_secs(&self) -> Result<Option<i64>, StorageError> {
        let answer = self.client.ask(Ask::get("", &[("list-type", "2"), ("max-keys", "1")])).await?;
        Ok(clock::ahead_secs(answer.headers()))
    }

    async fn list(&self) -> Result<(), StorageError> {
        let query = [("list-type", "2"), ("max-keys", "1"), ("prefix", key::PREFIX)];
        let answer = self.client.send(Ask::get("", &query)).await?;
        let status = answer.status().as_u16();
        let body = tokio::time::timeout(limits::REQUEST, signed::body(answer, limits::LISTING_BYTES)).await;
        // Not every success comes from the store.
        inventory::objects_page(status, &body.map_err(|_| StorageError::TimedOut)??, key::PREFIX, None)
            .map(drop)
    }

    /// Makes the bucket if it is missing; true when this call made it.
    pub async fn ensure_bucket(&self) -> Result<bool, StorageError> {
        let outcome = match self.list().await {
            Ok(()) => Ok(false),
            Err(StorageError::NoBucket(_) | StorageError::NotFound(_)) => self.make_bucket().await,
            Err(other) => Err(other),
        };
        self.noted(outcome)
    }

    /// False when another process was quicker.
    async fn make_bucket(&self) -> Result<bool, StorageError> {
        let region = self.client.region();
        // The client's own call names us-east-1 as a constraint, which S3 refuses for just that region.
        let body = if region == "us-east-1" {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )
        };
        match self.client.send(Ask::put("", &[], body)?).await {
            Ok(_) => Ok(true),
            // Another process was quicker, or the store is busy making it.
            Err(error) => self.list().await.map(|()| false).map_err(|_| error),
        }
    }

    /// Stores the bytes under `key`, over whatever was there. `Ok` means: the store confirmed size and SHA-256.
    pub async fn put(&self, key: &str, content_type: &str, bytes: &Bytes) -> Result<Stored, StorageError> {
        self.noted(self.put_and_verify(key, content_type, bytes).await)
    }

    async fn put_and_verify(
        &self,
        key: &str,
        content_type: &str,
        bytes: &Bytes,
    ) -> Result<Stored, StorageError> {
        let digest = Sha256::digest(bytes);
        let expected = BASE64_STANDARD.encode(digest);
        let headers = [("content-type", content_type), (CHECKSUM, &expected)];
        let answer = match self.client.send_for_object(Ask::put(key, &headers, bytes.clone())?).await {
            // Nothing but the bucket can be missing here.
            Err(StorageError::NotFound(text)) => return Err(StorageError::NoBucket(text)),
            answer => answer?,
        };
        let stored = Stored { size: i64::try_from(bytes.len()).unwrap_or(i64::MAX), sha256: hex(&digest) };
        match answer.headers().get(CHECKSUM) {
            Some(confirmed) if *confirmed == expected => Ok(stored),
            Some(other) => Err(StorageError::Corrupt(format!("{key}: sent {expected}, stored {other:?}"))),
            // A store without checksums: read it back.
            None => self.verify(key, &stored).await.map(|()| stored),
        }
    }

    /// Afterwards there is no object under `key`, which the store has confirmed; also if there was none before.
    pub async fn remove(&self, key: &str) -> Result<(), StorageError> {
        self.noted(self.remove_and_verify(key).await)
    }

    async fn remove_and_verify(&self, key: &str) -> Result<(), StorageError> {
        match self.client.send(Ask::delete(key)).await {
            Ok(_) | Err(StorageError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        // Its body is not read.
        match self.client.send_for_object(Ask::get(key, &[])).await {
            Err(StorageError::NotFound(_)) => Ok(()),
            Ok(_) => Err(StorageError::Other(format!("{key} is still there after it was deleted"))),
            Err(error) => Err(error),
        }
    }

    async fn verify(&self, key: &str, expected: &Stored) -> Result<(), StorageError> {
        let found = match self.digest(key).await {
            // The store has just said that it keeps it.
            Err(StorageError::NotFound(_)) => "nothing".to_owned(),
            found => found?.sha256,
        };
        if found == expected.sha256 {
            return Ok(());
        }
        Err(StorageError::Corrupt(format!("{key}: sent {}, stored {found}", expected.sha256)))
    }

    /// Opens an object for reading: its size as the store tells it (of the range when one is asked for), and its
    /// bytes. The stream ends with an error when the store is silent for too long.
    pub async fn open(
        &self,
        key: &str,
        range: Option<ByteRange>,
    ) -> Result<(Option<u64>, BoxStream<'static, Result<Bytes, StorageError>>), StorageError> {
        self.noted(self.open_unnoted(key, range).await)
    }

    /// Opens like `open` a whole object with this digest: one with another never ends well, and a short one not before its
    /// first byte.
    pub async fn open_verified(
        &self,
        key: &str,
        sha256: String,
    ) -> Result<(Option<u64>, BoxStream<'static, Result<Bytes, StorageError>>), StorageError> {
        let (size, bytes) = self.open(key, None).await?;
        Ok((size, verified(bytes, sha256).boxed()))
    }

    async fn open_unnoted(
        &self,
        key: &str,
        range: Option<ByteRange>,
    ) -> Result<(Option<u64>, BoxStream<'static, Result<Bytes, StorageError>>), StorageError> {
        let answer = self.client.send_for_object(Ask::stream(key, range)?).await?;
        let size = answer.content_length();
        let body = Box::pin(answer.bytes_stream());
        let bytes = futures_util::stream::unfold(Some(body), |body| async {
            let mut body = body?;
            match tokio::time::timeout(limits::IDLE, body.next()).await {
                Ok(None) => None,
                Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
                Ok(Some(Err(error))) => Some((Err(error.into()), None)),
                Err(_) => Some((Err(StorageError::TimedOut), None)),
            }
        });
        Ok((size, bytes.boxed()))
    }

    /// Whether the store is away is told here, once.
    fn noted<T>(&self, outcome: Result<T, StorageError>) -> Result<T, StorageError> {
        use StorageError as E;
        match &outcome {
            Err(
                error @ (E::Unavailable(_)
                | E::Busy(..)
                | E::TimedOut
                | E::Denied(_)
                | E::Misconfigured(_)
                | E::NoBucket(_)),
            ) => self.outage.fails(error),
            Ok(_) | Err(E::NotFound(_) | E::Corrupt(_) | E::Other(_)) => self.outage.works(),
        }
        outcome
    }
}

fn hex(digest: &[u8]) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::with_capacity(digest.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
