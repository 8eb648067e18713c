//! Table `uploads`: what has arrived of each unfinished upload, and which request writes to it.

mod describe;
pub(super) mod end;
mod expired;
mod finish;
mod insert;
mod lock;
mod progress;

use diesel::deserialize::Queryable;
use diesel::prelude::*;
use serde_json::Value;

use super::Db;
use super::columns::{IdColumn, TimeColumn};
use super::schema::uploads;
use crate::domain::{FileId, Timestamp};

pub use insert::NewUploadRow;
pub use lock::{LockId, Locked};
pub use progress::UploadProgress;

/// Row of an unfinished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    pub file_id: FileId,
    /// Key of the object that it becomes.
    pub key: String,
    /// Announced number of bytes.
    pub length: Option<u64>,
    /// Bytes that are in the store.
    pub stored: u64,
    pub sha256_state: Option<Vec<u8>>,
    /// SHA-256 that the client announced, in lower-case hexadecimal.
    pub wanted_sha256: Option<String>,
    pub multipart: Option<Multipart>,
    pub tail: Tail,
    /// Header `Upload-Metadata`, as the client sent it.
    pub tus_metadata: Option<String>,
    pub expires_at: Timestamp,
}

/// Id of a multipart upload that may have been started and whose id is not known.
pub const ANNOUNCED: &str = "";

/// Multipart upload of the store, with its parts as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    /// Its id, or [`ANNOUNCED`].
    pub id: String,
    pub parts: Value,
}

/// Stored bytes behind the last part, kept as an object of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tail {
    pub size: u64,
    /// Number of the object; a new one is written beside the old one.
    pub number: u64,
    /// Objects of tails may lie in the store.
    pub may_exist: bool,
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = uploads, check_for_backend(diesel::pg::Pg))]
struct UploadColumns {
    file_id: IdColumn,
    key: String,
    length: Option<i64>,
    stored: i64,
    sha256_state: Option<Vec<u8>>,
    wanted_sha256: Option<String>,
    s3_upload_id: Option<String>,
    parts: Value,
    tail_size: i64,
    tail_number: i64,
    has_tails: bool,
    tus_metadata: Option<String>,
    expires_at: TimeColumn,
}

impl From<UploadColumns> for UploadRow {
    fn from(row: UploadColumns) -> Self {
        Self {
            file_id: row.file_id.into(),
            key: row.key,
            length: row.length.map(i64::unsigned_abs),
            stored: row.stored.unsigned_abs(),
            sha256_state: row.sha256_state,
            wanted_sha256: row.wanted_sha256,
            multipart: row.s3_upload_id.map(|id| Multipart { id, parts: row.parts }),
            tail: Tail {
                size: row.tail_size.unsigned_abs(),
                number: row.tail_number.unsigned_abs(),
                may_exist: row.has_tails,
            },
            tus_metadata: row.tus_metadata,
            expires_at: row.expires_at.into(),
        }
    }
}

/// Statements about unfinished uploads.
#[derive(Clone, Copy)]
pub struct Uploads<'a> {
    pub(super) db: &'a Db,
}

/// Converts a size for a column. Sizes are limited far below what it holds.
fn column(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
