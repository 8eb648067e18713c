//! What the bucket holds, for comparing it with the rows: pages of objects and of unfinished uploads, heads, digests.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::signed::Ask;
use super::{Storage, StorageError, Stored, hex, limits};
use crate::domain::Timestamp;

/// An object as the store describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub size: i64,
    pub modified: Timestamp,
}

/// In the order of their keys as text.
#[derive(Debug)]
pub struct ObjectPage {
    pub objects: Vec<Listed>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<String>,
}

/// An upload in parts that was neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub key: String,
    pub id: String,
    pub started: Timestamp,
}

#[derive(Debug)]
pub struct UploadPage {
    pub uploads: Vec<Upload>,
    /// Key and upload id after which the next page begins; `None` after the last one.
    pub next: Option<(String, String)>,
}

/// S3 gives no more in one answer.
const PAGE: &str = "1000";

impl Storage {
    /// A page of the objects whose keys begin with `prefix`; `from` is what the page before gave.
    pub async fn objects(&self, prefix: &str, from: Option<&str>) -> Result<ObjectPage, StorageError> {
        let mut query = vec![("list-type", "2"), ("max-keys", PAGE), ("prefix", prefix)];
        query.extend(from.map(|token| ("continuation-token", token)));
        let (status, body) = self.ask(&query).await?;
        let ObjectsAnswer { contents, next_continuation_token } = read(status, &body)?;
        let objects = contents.into_iter().map(Listed::from).collect();
        Ok(ObjectPage { objects, next: next_continuation_token })
    }

    /// A page of the unfinished uploads of keys that begin with `prefix`. `None`: this store can't tell.
    pub async fn uploads(
        &self,
        prefix: &str,
        from: Option<&(String, String)>,
    ) -> Result<Option<UploadPage>, StorageError> {
        let mut query = vec![("uploads", ""), ("max-uploads", PAGE), ("prefix", prefix)];
        if let Some((key, id)) = from {
            query.extend([("key-marker", key.as_str()), ("upload-id-marker", id.as_str())]);
        }
        let (status, body) = self.ask(&query).await?;
        if matches!(status, 405 | 501) {
            return Ok(None);
        }
        let answer: UploadsAnswer = read(status, &body)?;
        let next = answer.is_truncated.then_some((answer.next_key_marker, answer.next_upload_id_marker));
        let uploads = answer.upload.into_iter().map(Upload::from).collect();
        Ok(Some(UploadPage { uploads, next }))
    }

    /// Afterwards there is no such upload, and none of its parts; also if there was none before.
    pub async fn abort_upload(&self, upload: &Upload) -> Result<(), StorageError> {
        match self.client.send(Ask::abort_upload(&upload.key, &upload.id)).await {
            Ok(_) | Err(StorageError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `None`: there is no such object.
    pub async fn head(&self, key: &str) -> Result<Option<Listed>, StorageError> {
        // A listing tells what a HEAD would, and can be signed in advance.
        let page = self.objects(key, None).await?;
        Ok(page.objects.into_iter().find(|object| object.key == key))
    }

    /// Reads a whole object, a piece at a time. `NotFound` when there is none.
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

    /// Asks the bucket itself; any status is an answer.
    async fn ask(&self, query: &[(&str, &str)]) -> Result<(u16, Bytes), StorageError> {
        let answer = self.client.ask(Ask::get("", query)).await?;
        let status = answer.status().as_u16();
        let body = tokio::time::timeout(limits::REQUEST, answer.bytes()).await;
        Ok((status, body.map_err(|_| StorageError::TimedOut)??))
    }
}

fn read<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, StorageError> {
    match status {
        200..=299 => quick_xml::de::from_reader(body).map_err(|error| StorageError::Other(error.to_string())),
        // Nothing but the bucket can be missing here.
        404 => Err(StorageError::NoBucket(String::from_utf8_lossy(body).chars().take(300).collect())),
        _ => Err(StorageError::of_status(status, &String::from_utf8_lossy(body))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ObjectsAnswer {
    #[serde(default)]
    contents: Vec<Contents>,
    next_continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    size: i64,
    last_modified: DateTime<Utc>,
}

impl From<Contents> for Listed {
    fn from(Contents { key, size, last_modified }: Contents) -> Self {
        Self { key, size, modified: Timestamp::from(last_modified) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadsAnswer {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default)]
    upload: Vec<UploadLine>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadLine {
    key: String,
    upload_id: String,
    initiated: DateTime<Utc>,
}

impl From<UploadLine> for Upload {
    fn from(UploadLine { key, upload_id, initiated }: UploadLine) -> Self {
        Self { key, id: upload_id, started: Timestamp::from(initiated) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_as_s3_writes_it() {
        let page: ObjectsAnswer = read(
            200,
            br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>files/</Prefix>
            <NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>
            <KeyCount>1</KeyCount><IsTruncated>true</IsTruncated>
            <Contents><Key>files/1_a&amp;b.txt</Key><LastModified>2026-01-03T00:00:00.000Z</LastModified>
            <ETag>&quot;e&quot;</ETag><Size>182</Size><StorageClass>STANDARD</StorageClass></Contents>
            </ListBucketResult>"#,
        )
        .unwrap();
        assert_eq!(page.next_continuation_token.unwrap(), "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=");
        let listed = Listed::from(page.contents.into_iter().next().unwrap());
        assert_eq!((listed.key.as_str(), listed.size), ("files/1_a&b.txt", 182));
        assert_eq!(listed.modified.to_string(), "2026-01-03T00:00:00.000Z");
    }

    #[test]
    fn unfinished_uploads_are_read_with_and_without_what_is_optional() {
        let empty: UploadsAnswer = read(200, b"<ListMultipartUploadsResult/>").unwrap();
        assert!(!empty.is_truncated && empty.upload.is_empty());
        let answer: UploadsAnswer = read(
            200,
            br#"<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket>
            <KeyMarker/><UploadIdMarker/><NextKeyMarker>files/2_b</NextKeyMarker>
            <NextUploadIdMarker>u2</NextUploadIdMarker><MaxUploads>2</MaxUploads><IsTruncated>true</IsTruncated>
            <Upload><Key>files/1_a</Key><UploadId>u1</UploadId><Initiated>2026-01-03T00:00:00.000Z</Initiated>
            <StorageClass>STANDARD</StorageClass></Upload>
            <Upload><Key>files/2_b</Key><UploadId>u2</UploadId><Initiated>2026-01-03T00:00:01Z</Initiated></Upload>
            </ListMultipartUploadsResult>"#,
        )
        .unwrap();
        assert_eq!((answer.is_truncated, answer.next_upload_id_marker.as_str()), (true, "u2"));
        let uploads: Vec<Upload> = answer.upload.into_iter().map(Upload::from).collect();
        assert_eq!((uploads.len(), uploads[1].id.as_str()), (2, "u2"));
    }
}
