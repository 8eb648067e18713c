//! What the bucket holds, for comparing it with the rows: pages of objects and of unfinished uploads, heads, digests.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use super::signed::{Ask, body};
use super::{Storage, StorageError, Stored, hex, limits, xml};
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

/// Whether a listing gets on from page to page; one that doesn't would be read for ever.
#[derive(Debug, Default)]
pub struct Progress {
    last: Option<String>,
    empty_pages: u32,
}

/// S3 may give a few on its way past deleted keys.
const EMPTY_PAGES_MAX: u32 = 1000;

impl Progress {
    /// Takes note of the next page, whose keys must come after those before.
    pub fn note(&mut self, page: &ObjectPage) -> Result<(), StorageError> {
        let stuck = |what: &str| Err(StorageError::Unavailable(format!("a listing doesn't get on: {what}")));
        let (Some(first), Some(last)) = (page.objects.first(), page.objects.last()) else {
            self.empty_pages += 1;
            return if self.empty_pages > EMPTY_PAGES_MAX { stuck("too many empty pages") } else { Ok(()) };
        };
        self.empty_pages = 0;
        if self.last.as_ref().is_some_and(|last| first.key <= *last) {
            return stuck("its keys begin again");
        }
        self.last = Some(last.key.clone());
        Ok(())
    }
}

/// An upload in parts that was neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub key: String,
    pub id: String,
    pub started: Timestamp,
}

/// Page of a listing of unfinished multipart uploads.
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
        objects_page(status, &body, prefix, from)
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
        uploads_page(status, &body, from).map(Some)
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
        let body = tokio::time::timeout(limits::REQUEST, body(answer, limits::LISTING_BYTES)).await;
        Ok((status, body.map_err(|_| StorageError::TimedOut)??))
    }
}

/// The whole document, or what the store says instead. A success that isn't the listing asked for is no answer: read
/// as an empty one it would make every object a missing one.
fn read<T: DeserializeOwned>(root: &str, status: u16, body: &[u8]) -> Result<T, StorageError> {
    if !(200..=299).contains(&status) {
        return Err(StorageError::of_answer(status, body));
    }
    xml::read(root, body).map_err(|why| {
        let error = StorageError::of_answer(status, body);
        if matches!(error, StorageError::Unavailable(_)) {
            StorageError::Unavailable(format!("a listing can't be read: {why}"))
        } else {
            error
        }
    })
}

/// Reads a page of a listing, as `objects` and the probe ask for it.
pub(super) fn objects_page(
    status: u16,
    body: &[u8],
    prefix: &str,
    from: Option<&str>,
) -> Result<ObjectPage, StorageError> {
    let answer: ObjectsAnswer = read("ListBucketResult", status, body)?;
    if answer.name.is_none() && answer.is_truncated.is_none() {
        return Err(StorageError::Unavailable("a listing without a bucket's name".to_owned()));
    }
    let objects: Vec<Listed> = answer.contents.into_iter().map(Listed::from).collect();
    if let Some(other) = objects.iter().find(|object| !object.key.starts_with(prefix)) {
        return Err(StorageError::Unavailable(format!("a listing of {prefix} names {}", other.key)));
    }
    let token = answer.next_continuation_token.filter(|token| !token.is_empty());
    // Without the flag the token tells; with it, the flag alone.
    let next = match (answer.is_truncated, token) {
        (Some(false), _) | (None, None) => None,
        (Some(true), None) => {
            return Err(StorageError::Unavailable("a listing goes on and doesn't say where".to_owned()));
        }
        (Some(true) | None, Some(token)) if from == Some(token.as_str()) => {
            return Err(StorageError::Unavailable("a listing goes on where it came from".to_owned()));
        }
        (Some(true) | None, Some(token)) => Some(token),
    };
    Ok(ObjectPage { objects, next })
}

fn uploads_page(
    status: u16,
    body: &[u8],
    from: Option<&(String, String)>,
) -> Result<UploadPage, StorageError> {
    let answer: UploadsAnswer = read("ListMultipartUploadsResult", status, body)?;
    let uploads = answer.upload.into_iter().map(Upload::from).collect();
    if !answer.is_truncated {
        return Ok(UploadPage { uploads, next: None });
    }
    let next = (answer.next_key_marker, answer.next_upload_id_marker);
    // By key; uploads of one key come in the order of their beginnings.
    let is_behind = from.is_some_and(|from| next == *from || next.0 < from.0);
    if next.0.is_empty() || is_behind {
        return Err(StorageError::Unavailable(
            "a listing of uploads goes on and doesn't say where".to_owned(),
        ));
    }
    Ok(UploadPage { uploads, next: Some(next) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ObjectsAnswer {
    name: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    is_truncated: Option<bool>,
    #[serde(default)]
    contents: Vec<Contents>,
    next_continuation_token: Option<String>,
}

/// `true` and `false` in any case; empty counts as absent.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.trim().to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(serde::de::Error::custom("neither true nor false")),
    }
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
        let page = read::<ObjectsAnswer>(
            "ListBucketResult",
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
        let empty: UploadsAnswer =
            read("ListMultipartUploadsResult", 200, b"<ListMultipartUploadsResult/>").unwrap();
        assert!(!empty.is_truncated && empty.upload.is_empty());
        let answer: UploadsAnswer = read(
            "ListMultipartUploadsResult",
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

    /// What a page leads to: its objects and the next token, or the error's text.
    fn page(inner: &str, from: Option<&str>) -> Result<(usize, Option<String>), String> {
        let body = format!("<ListBucketResult><Name>b</Name>{inner}</ListBucketResult>");
        let page = objects_page(200, body.as_bytes(), "files/", from).map_err(|error| error.to_string())?;
        Ok((page.objects.len(), page.next))
    }

    #[test]
    fn a_listing_ends_when_it_says_so_and_never_turns_in_a_circle() {
        let token = |token: &str| Ok((0, Some(token.to_owned())));
        for (inner, from, expected) in [
            ("<IsTruncated>false</IsTruncated><NextContinuationToken/>", Some("t"), Ok((0, None))),
            (
                "<IsTruncated>false</IsTruncated><NextContinuationToken>u</NextContinuationToken>",
                None,
                Ok((0, None)),
            ),
            ("<IsTruncated>False</IsTruncated>", None, Ok((0, None))),
            ("<NextContinuationToken/>", None, Ok((0, None))),
            ("<NextContinuationToken>u</NextContinuationToken>", None, token("u")),
            (
                "<IsTruncated>true</IsTruncated><NextContinuationToken>u</NextContinuationToken>",
                Some("t"),
                token("u"),
            ),
        ] {
            assert_eq!(page(inner, from), expected, "{inner}");
        }
        for (inner, from) in [
            ("<IsTruncated>true</IsTruncated>", None),
            ("<IsTruncated>true</IsTruncated><NextContinuationToken/>", None),
            ("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>", Some("t")),
            ("<NextContinuationToken>t</NextContinuationToken>", Some("t")),
            ("<IsTruncated>perhaps</IsTruncated>", None),
        ] {
            assert!(page(inner, from).is_err(), "{inner}");
        }
        let uploads = |inner: &str, from: Option<(&str, &str)>| {
            let body = format!("<ListMultipartUploadsResult>{inner}</ListMultipartUploadsResult>");
            let from = from.map(|(key, id)| (key.to_owned(), id.to_owned()));
            uploads_page(200, body.as_bytes(), from.as_ref()).map(|page| page.next)
        };
        let going_on = "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>";
        assert_eq!(uploads(going_on, Some(("k", "0"))).unwrap(), Some(("k".to_owned(), "1".to_owned())));
        assert_eq!(uploads(&going_on.replace("true", "false"), None).unwrap(), None);
        assert!(uploads(going_on, Some(("k", "1"))).is_err());
        assert!(uploads(going_on, Some(("l", "0"))).is_err());
        assert!(uploads("<IsTruncated>true</IsTruncated>", None).is_err());
    }

    #[test]
    fn what_is_no_listing_is_an_outage_and_no_empty_bucket() {
        for body in [
            "",
            "<html><body>It works!</body></html>",
            "<ListBucketResult/>",
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Conte",
            "<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>",
            "<Error><Code>SlowDown</Code><Message>m</Message></Error>",
            "<Error><Code>InternalError</Code></Error>",
            "{\"status\": \"ok\"}",
            "<ListBucketResult><Name>b</Name><Contents><Key>files/1_a</Key></Contents></ListBucketResult>",
            "<ListBucketResult><Name>b</Name><Contents><Key>other/1_a</Key><Size>1</Size>\
             <LastModified>2026-01-03T00:00:00Z</LastModified></Contents></ListBucketResult>",
            "<ListBucketResult><Name>b</Name><Contents><Key>files/1_a</Key><Size>1</Size>\
             <LastModified>yesterday</LastModified></Contents></ListBucketResult>",
        ] {
            let error = objects_page(200, body.as_bytes(), "files/", None).unwrap_err();
            assert!(matches!(error, StorageError::Unavailable(_)), "{body}: {error}");
        }
        let error =
            objects_page(200, b"<Error><Code>NoSuchBucket</Code></Error>", "files/", None).unwrap_err();
        assert!(matches!(error, StorageError::NoBucket(_)), "{error}");
    }
}
