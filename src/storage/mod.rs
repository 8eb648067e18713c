//! Object store, over the S3 protocol: put and verify, open for reading, list, remove. The only home of the S3 client.

mod bucket;
mod client;
mod downloads;
mod error_codes;
pub mod errors;
pub mod limits;
pub mod listing;
mod multipart;
pub mod object_keys;
mod objects;
mod presigned;
mod proof;
mod retry;
mod running_digest;
mod xml;

use std::sync::Arc;

use self::client::Client;
use self::proof::ProofKey;
use crate::config::S3Config;
use crate::telemetry::Outage;

pub use errors::StorageError;
pub use listing::{ListedObject, ListingProgress, ObjectPage};
pub use multipart::{Part, UnfinishedUpload, UploadPage};
pub use objects::Stored;
pub use running_digest::RunningDigest;

/// Client of a bucket. Cheap to clone; connections are kept alive and shared.
#[derive(Clone)]
pub struct Storage {
    client: Client,
    proof_key: ProofKey,
    outage: Arc<Outage>,
}

impl Storage {
    /// Makes the client; nothing is asked of the store yet.
    pub fn new(config: &S3Config) -> Result<Self, StorageError> {
        let outage = Arc::new(Outage::new("s3 unavailable", "s3 recovered"));
        let proof_key = ProofKey::new(&config.secret_access_key);
        Ok(Self { client: Client::new(config)?, proof_key, outage })
    }

    /// Logs the beginning and the end of an outage, once each, from the outcomes of calls.
    fn track_outage<T>(&self, outcome: Result<T, StorageError>) -> Result<T, StorageError> {
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

/// Formats bytes as lower-case hexadecimal.
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
