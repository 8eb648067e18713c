//! S3: put and verify, open for reading, probe. The only home of the S3 client.

pub mod errors;
pub mod inventory;
pub mod key;

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue};
use s3::creds::Credentials;
use s3::{Bucket, Region};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::config::S3Config;
use crate::domain::ByteRange;

pub use errors::StorageError;

/// Time limits of everything that waits for the store.
pub mod limits {
    use std::time::Duration;

    /// One whole request that isn't a download.
    pub const REQUEST: Duration = Duration::from_secs(30);
    /// Until a download's headers are here.
    pub const OPEN: Duration = Duration::from_secs(10);
    /// Between two pieces of a download.
    pub const IDLE: Duration = Duration::from_secs(30);
    /// How long a URL that we sign for our own request is good for.
    pub const SIGNATURE_SECS: u32 = 60;
}

/// A bucket. Cheap to clone; connections are kept alive and shared.
#[derive(Clone)]
pub struct Storage {
    bucket: Box<Bucket>,
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
    pub fn new(config: &S3Config) -> Result<Self, StorageError> {
        let region = match &config.endpoint {
            Some(endpoint) => Region::Custom { region: config.region.clone(), endpoint: endpoint.clone() },
            None => config.region.parse().map_err(|_| StorageError::Other("unknown region".to_owned()))?,
        };
        let secret = config.secret_access_key.expose_secret();
        let credentials = Credentials::new(Some(&config.access_key_id), Some(secret), None, None, None)
            .map_err(|error| StorageError::Other(error.to_string()))?;
        let mut bucket = Bucket::new(&config.bucket, region, credentials)?;
        // Names in the path work everywhere; names in the host only where DNS plays along.
        if config.endpoint.is_some() {
            bucket.set_path_style();
        }
        bucket.set_request_timeout(Some(limits::REQUEST));
        Ok(Self { bucket })
    }

    pub fn bucket_name(&self) -> String {
        self.bucket.name()
    }

    /// One round trip: is the store there, do our credentials work, is the bucket there?
    pub async fn ping(&self) -> Result<(), StorageError> {
        let list = self.bucket.list_page("files/".to_owned(), None, None, None, Some(1));
        limited(limits::REQUEST, list).await?;
        Ok(())
    }

    /// Makes the bucket if it is missing; true when this call made it.
    pub async fn ensure_bucket(&self) -> Result<bool, StorageError> {
        match self.ping().await {
            Ok(()) => return Ok(false),
            Err(StorageError::NotFound(_)) => {}
            Err(other) => return Err(other),
        }
        let region = self.bucket.region().to_string();
        // The client's own call names us-east-1 as a constraint, which S3 refuses for just that region.
        let body = if region == "us-east-1" {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )
        };
        let url = self.bucket.presign_put("", limits::SIGNATURE_SECS, None, None).await?;
        let put = self.bucket.http_client().put(url).timeout(limits::REQUEST).body(body).send();
        let answer = put.await.map_err(|error| StorageError::Unavailable(errors::causes(&error)))?;
        let status = answer.status().as_u16();
        match status {
            200..=299 => Ok(true),
            // Another process was quicker.
            409 => self.ping().await.map(|()| false),
            _ => Err(StorageError::of_status(status, &answer.text().await.unwrap_or_default())),
        }
    }

    /// Stores the bytes under `key`, over whatever was there. `Ok` means: the store confirmed size and SHA-256.
    pub async fn put(&self, key: &str, content_type: &str, bytes: &Bytes) -> Result<Stored, StorageError> {
        let digest = Sha256::digest(bytes);
        let expected = BASE64_STANDARD.encode(digest);
        let mut headers = HeaderMap::new();
        let value =
            HeaderValue::from_str(&expected).map_err(|error| StorageError::Other(error.to_string()))?;
        headers.insert(CHECKSUM, value);
        let put =
            self.bucket.put_object_with_content_type_and_headers(key, bytes, content_type, Some(headers));
        let answer = match limited(limits::REQUEST, put).await {
            // Nothing but the bucket can be missing here; it may come back.
            Err(StorageError::NotFound(text)) => return Err(StorageError::Unavailable(text)),
            answer => answer?,
        };
        let stored = Stored { size: i64::try_from(bytes.len()).unwrap_or(i64::MAX), sha256: hex(&digest) };
        match answer.headers().get(CHECKSUM) {
            Some(confirmed) if *confirmed == expected => Ok(stored),
            Some(other) => Err(StorageError::Corrupt(format!("{key}: sent {expected}, stored {other}"))),
            // A store without checksums: read it back.
            None => self.verify(key, &stored).await.map(|()| stored),
        }
    }

    /// Afterwards there is no object under `key`, which the store has confirmed; also if there was none before.
    pub async fn remove(&self, key: &str) -> Result<(), StorageError> {
        match limited(limits::REQUEST, self.bucket.delete_object(key)).await {
            Ok(_) | Err(StorageError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        match limited(limits::REQUEST, self.bucket.head_object(key)).await {
            Err(StorageError::NotFound(_)) => Ok(()),
            Ok(_) => Err(StorageError::Other(format!("{key} is still there after it was deleted"))),
            Err(error) => Err(error),
        }
    }

    async fn verify(&self, key: &str, expected: &Stored) -> Result<(), StorageError> {
        let answer = limited(limits::REQUEST, self.bucket.get_object(key)).await?;
        let found = hex(&Sha256::digest(answer.bytes()));
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
    ) -> Result<(Option<u64>, impl Stream<Item = Result<Bytes, StorageError>> + use<>), StorageError> {
        let url = self.bucket.presign_get(key, limits::SIGNATURE_SECS, None).await?;
        let mut request = self.bucket.http_client().get(url);
        if let Some(ByteRange { first, last }) = range {
            request = request.header("range", format!("bytes={first}-{last}"));
        }
        let answer = tokio::time::timeout(limits::OPEN, request.send())
            .await
            .map_err(|_| StorageError::TimedOut)?
            .map_err(|error| StorageError::Unavailable(errors::causes(&error)))?;
        let status = answer.status().as_u16();
        if !answer.status().is_success() {
            return Err(StorageError::of_status(status, &answer.text().await.unwrap_or_default()));
        }
        let size = answer.content_length();
        let body = Box::pin(answer.bytes_stream());
        let bytes = futures_util::stream::unfold(Some(body), |body| async {
            let mut body = body?;
            match tokio::time::timeout(limits::IDLE, body.next()).await {
                Ok(None) => None,
                Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
                Ok(Some(Err(error))) => Some((Err(StorageError::Unavailable(errors::causes(&error))), None)),
                Err(_) => Some((Err(StorageError::TimedOut), None)),
            }
        });
        Ok((size, bytes))
    }
}

async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, s3::error::S3Error>>,
) -> Result<T, StorageError> {
    tokio::time::timeout(limit, call).await.map_err(|_| StorageError::TimedOut)?.map_err(StorageError::from)
}

fn hex(digest: &[u8]) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::with_capacity(digest.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
