//! File of an object: its bytes and, behind them, its description, so that both are stored atomically.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::O_NOFOLLOW;
use s3s::dto::{Checksum, ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result};
use serde::{Deserialize, Serialize};

/// Last bytes of every object's file. The object's bytes are followed by the description, its length in four bytes, and
/// these.
const MAGIC: [u8; 8] = *b"FSOBJ\x01\r\n";
const FOOTER_BYTES: usize = MAGIC.len() + 4;
/// Bytes that are read at once from the end of a file; nearly every description is shorter.
const TAIL_BYTES: u64 = 2048;
/// Tag of an object whose description is damaged.
const DAMAGED_TAG: &str = "damaged";
const MAX_DESCRIPTION_BYTES: usize = 64 << 10;

/// Description of an object: everything but its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    pub key: String,
    /// Number of the object's bytes; a file of another length is damaged.
    pub size: u64,
    pub e_tag: String,
    #[serde(flatten)]
    pub sums: Checksums,
    #[serde(flatten)]
    pub headers: Headers,
}

/// Checksums that the client asked for, in Base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksums {
    #[serde(rename = "checksum_sha256", default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(rename = "checksum_sha1", default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    #[serde(rename = "checksum_crc32", default, skip_serializing_if = "Option::is_none")]
    pub crc32: Option<String>,
    #[serde(rename = "checksum_crc32c", default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<String>,
    #[serde(rename = "checksum_crc64nvme", default, skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<String>,
}

impl From<Checksum> for Checksums {
    fn from(sums: Checksum) -> Self {
        Self {
            sha256: sums.checksum_sha256,
            sha1: sums.checksum_sha1,
            crc32: sums.checksum_crc32,
            crc32c: sums.checksum_crc32c,
            crc64nvme: sums.checksum_crc64nvme,
        }
    }
}

/// Headers that a client stores with the object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Headers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_metadata: Option<HashMap<String, String>>,
}

impl Headers {
    /// Replaces the headers for which a request names another value.
    pub fn replaced_by(self, others: Self) -> Self {
        Self {
            content_type: others.content_type.or(self.content_type),
            content_encoding: others.content_encoding.or(self.content_encoding),
            content_disposition: others.content_disposition.or(self.content_disposition),
            content_language: others.content_language.or(self.content_language),
            cache_control: others.cache_control.or(self.cache_control),
            user_metadata: others.user_metadata.or(self.user_metadata),
        }
    }
}

impl Description {
    /// Returns the entity tag.
    pub fn tag(&self) -> ETag {
        ETag::Strong(self.e_tag.clone())
    }

    /// Encodes the description and the footer, which come behind the bytes.
    pub fn to_trailer(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_DESCRIPTION_BYTES);
        let length = length.ok_or_else(|| io::Error::other("the description of an object is too long"))?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&MAGIC);
        Ok(bytes)
    }

    /// Reads the description from the end of a file of this length.
    fn of_file(file: &File, length: u64) -> io::Result<Self> {
        let tail_length = length.min(TAIL_BYTES);
        let mut tail = vec![0; usize::try_from(tail_length).map_err(io::Error::other)?];
        file.read_exact_at(&mut tail, length - tail_length)?;
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, "the end of the object's file is damaged");
        let (rest, magic) = tail.split_last_chunk::<8>().ok_or_else(damaged)?;
        let (rest, size) = rest.split_last_chunk::<4>().ok_or_else(damaged)?;
        let size = u32::from_le_bytes(*size) as usize;
        let bytes = size as u64 + FOOTER_BYTES as u64;
        if *magic != MAGIC || size > MAX_DESCRIPTION_BYTES || bytes > length {
            return Err(damaged());
        }
        let description: Self = match rest.len().checked_sub(size) {
            Some(start) => serde_json::from_slice(&rest[start..]),
            None => {
                let mut whole = vec![0; size];
                file.read_exact_at(&mut whole, length - bytes)?;
                serde_json::from_slice(&whole)
            }
        }
        .map_err(|_| damaged())?;
        if description.size == length - bytes { Ok(description) } else { Err(damaged()) }
    }
}

/// Object that is open for reading; it can be read even after it was replaced or removed.
#[derive(Debug)]
pub(super) struct OpenObject {
    pub file: File,
    pub description: Description,
    pub modified: Timestamp,
}

impl OpenObject {
    /// Opens an object's file; `None` when there is no such file.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        let Some(file) = open(path)? else { return Ok(None) };
        let metadata = file.metadata()?;
        let description = match Description::of_file(&file, metadata.len()) {
            // Delivered all the same: a client that knows the digest notices that the bytes are others.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                log::warn!(path = path.display().to_string(); "description of an object is damaged");
                Description { size: metadata.len(), e_tag: DAMAGED_TAG.to_owned(), ..Description::default() }
            }
            description => description?,
        };
        let modified = Timestamp::from(metadata.modified()?);
        Ok(Some(Self { file, description, modified }))
    }

    /// Checks the conditions of a request: on the version that the client expects, and on the one that it has.
    pub fn check(&self, expected: Option<&ETagCondition>, known: Option<&ETagCondition>) -> S3Result<()> {
        let matches = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) => self.description.tag().weak_cmp(tag),
        };
        if expected.is_some_and(|condition| !matches(condition)) {
            return Err(S3Error::new(S3ErrorCode::PreconditionFailed));
        }
        if known.is_some_and(matches) {
            return Err(S3Error::new(S3ErrorCode::NotModified));
        }
        Ok(())
    }
}

/// Opens a file for reading, without following a symbolic link.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // In the layout of older releases, a part of the key's path may be a file.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_damaged(path: &Path) -> bool {
        OpenObject::at(path).unwrap().unwrap().description.e_tag == DAMAGED_TAG
    }

    #[test]
    fn what_was_written_is_read_and_a_damaged_end_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("object");
        for type_length in [0, 10, 1990, 2000, 2048, 5000] {
            let headers = Headers { content_type: Some("x".repeat(type_length)), ..Headers::default() };
            let description = Description {
                key: "a/b".to_owned(),
                size: 5,
                e_tag: "e".to_owned(),
                headers,
                ..Description::default()
            };
            let bytes = [b"bytes".as_slice(), &description.to_trailer().unwrap()].concat();
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(OpenObject::at(&path).unwrap().unwrap().description, description);
            for cut in [1, 12, 20] {
                std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
                assert!(is_damaged(&path), "{cut}");
            }
            std::fs::write(&path, &bytes[1..]).unwrap();
            assert!(is_damaged(&path), "the object is shorter than it says");
        }
        for bytes in [b"".as_slice(), b"x", &[0xff; 40], &[&[0xff; 4][..], &MAGIC].concat()] {
            std::fs::write(&path, bytes).unwrap();
            assert!(is_damaged(&path));
        }
        assert!(OpenObject::at(&dir.path().join("missing")).unwrap().is_none());
    }
}
