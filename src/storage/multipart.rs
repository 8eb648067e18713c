//! Multipart uploads: starting, parts, completing, listing and aborting them.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderName;
use quick_xml::escape::escape;
use serde::{Deserialize, Serialize};

use super::client::read_body;
use super::client::request::Request;
use super::listing::read_listing;
use super::{Storage, StorageError, limits, retry, xml};
use crate::domain::Timestamp;

const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");

/// Part of a multipart upload that the store has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Position in the object, from 1.
    pub number: u16,
    /// Entity tag that the store gave the part.
    pub etag: String,
    /// Number of its bytes.
    pub size: i64,
    /// SHA-256 of its bytes, in Base64; empty where only the store has seen them.
    pub sha256: String,
    /// The store has returned the checksum. Otherwise the object must be read back once it is complete.
    pub confirmed: bool,
}

/// Multipart upload that was neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    pub key: String,
    pub id: String,
    pub started: Timestamp,
}

/// Page of a listing of unfinished uploads.
#[derive(Debug)]
pub struct UploadPage {
    pub uploads: Vec<UnfinishedUpload>,
    /// Key and upload id after which the next page begins; `None` after the last one.
    pub next: Option<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Started {
    upload_id: String,
}

/// Answer that an upload is complete; nothing of it is needed.
#[derive(Deserialize)]
struct Completed {}

impl Storage {
    /// Starts an upload whose parts carry SHA-256 checksums; returns its id.
    pub async fn start_upload(&self, key: &str, content_type: &str) -> Result<String, StorageError> {
        let request = Request::post(key, &[("uploads", "")]).with_content_type(content_type)?;
        self.start(request.with_header(CHECKSUM_ALGORITHM, "SHA256")?).await
    }

    /// Starts an upload for parts that clients store by presigned URLs, without checksums; returns its id.
    pub async fn start_presigned_upload(
        &self,
        key: &str,
        content_type: &str,
    ) -> Result<String, StorageError> {
        self.start(Request::post(key, &[("uploads", "")]).with_content_type(content_type)?).await
    }

    async fn start(&self, request: Request<'_>) -> Result<String, StorageError> {
        let started: Result<Started, _> = self.send_for("InitiateMultipartUploadResult", request).await;
        self.track_outage(started.map(|started| started.upload_id))
    }

    /// Stores a part, whose digest the caller has computed; one that is sent again replaces the one before. What the
    /// store can't do for a moment is tried again a few times, while the caller holds the bytes anyway. `NotFound` when
    /// there is no such upload.
    #[expect(clippy::too_many_arguments, reason = "where a part goes takes three")]
    pub async fn put_part(
        &self,
        key: &str,
        upload_id: &str,
        number: u16,
        pieces: &[Bytes],
        sha256: [u8; 32],
    ) -> Result<Part, StorageError> {
        let put = || async {
            let query = [("partNumber", &*number.to_string()), ("uploadId", upload_id)];
            self.send_with_checksum(Request::put(key, &query), pieces, sha256).await
        };
        let confirmation = self.track_outage(retry::while_unavailable(put).await)?;
        let size: usize = pieces.iter().map(Bytes::len).sum();
        Ok(Part {
            number,
            etag: confirmation.etag,
            size: i64::try_from(size).unwrap_or(i64::MAX),
            sha256: BASE64_STANDARD.encode(sha256),
            confirmed: confirmation.is_confirmed,
        })
    }

    /// Makes the parts, in this order, the object. `NotFound` when there is no such upload: either it was aborted, or
    /// an earlier call has completed it and the object is there. After any other error the call can be repeated.
    pub async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[Part],
    ) -> Result<(), StorageError> {
        let request = Request::post(key, &[("uploadId", upload_id)])
            .with_content_type("application/xml")?
            .with_body(vec![completion(parts).into()])
            .within(completion_time_limit(parts));
        let completed = self.send_for::<Completed>("CompleteMultipartUploadResult", request).await;
        self.track_outage(completed.map(drop))
    }

    /// Lists the parts that the store has of an upload, sorted by number. `NotFound`
    /// when there is no such upload.
    pub async fn list_parts(&self, key: &str, upload_id: &str) -> Result<Vec<Part>, StorageError> {
        let mut parts: Vec<Part> = Vec::new();
        loop {
            let after = parts.last().map_or(0, |part| part.number).to_string();
            let query = [("part-number-marker", &*after), ("uploadId", upload_id)];
            let page: Result<PartsDocument, _> =
                self.send_for("ListPartsResult", Request::get(key, &query)).await;
            let page = self.track_outage(page)?;
            let known = parts.len();
            parts.extend(page.part.into_iter().map(Part::from));
            let is_stuck = page.is_truncated && parts.len() == known;
            if is_stuck || !parts.is_sorted_by(|a, b| a.number < b.number) {
                let why = "a listing of parts doesn't advance".to_owned();
                return Err(StorageError::Unavailable(why));
            }
            if !page.is_truncated {
                return Ok(parts);
            }
        }
    }

    /// Starts an upload and aborts it: `Ok` when the store supports multipart uploads and permits them.
    pub async fn try_multipart(&self, key: &str) -> Result<(), StorageError> {
        let id = self.start_upload(key, "application/octet-stream").await?;
        self.client.send(Request::delete(key, &[("uploadId", &id)])).await?;
        Ok(())
    }

    /// Sends a request and reads the document that it is answered with. S3 may send an error with status 200, once it
    /// has begun to answer.
    async fn send_for<T: serde::de::DeserializeOwned>(
        &self,
        root: &str,
        request: Request<'_>,
    ) -> Result<T, StorageError> {
        let response = self.client.send(request).await?;
        let status = response.status().as_u16();
        // Within the request's time limit, which includes the body.
        let body = read_body(response, limits::MAX_LISTING_BYTES).await?;
        xml::read(root, &body).map_err(|_| StorageError::of_response(status, &body))
    }

    /// Lists a page of the unfinished uploads of keys that begin with `prefix`. `None` when the store can't list them.
    pub async fn list_uploads(
        &self,
        prefix: &str,
        from: Option<&(String, String)>,
    ) -> Result<Option<UploadPage>, StorageError> {
        let mut query = vec![("uploads", ""), ("max-uploads", limits::LISTING_PAGE_SIZE), ("prefix", prefix)];
        if let Some((key, id)) = from {
            query.extend([("key-marker", key.as_str()), ("upload-id-marker", id.as_str())]);
        }
        let (status, body) = self.query_bucket(&query).await?;
        // Answers of stores that don't implement the listing.
        if matches!(status, 405 | 501) {
            return Ok(None);
        }
        uploads_page(status, &body, from).map(Some)
    }

    /// Aborts every upload of this key. Nothing where the store can't list them.
    pub async fn abort_uploads(&self, key: &str) -> Result<(), StorageError> {
        let page = self.list_uploads(key, None).await?;
        for upload in page.into_iter().flat_map(|page| page.uploads).filter(|upload| upload.key == key) {
            self.abort_upload(&upload).await?;
        }
        Ok(())
    }

    /// Aborts an upload, if there is one, so that none of its parts is left.
    pub async fn abort_upload(&self, upload: &UnfinishedUpload) -> Result<(), StorageError> {
        match self.client.send(Request::delete(&upload.key, &[("uploadId", &upload.id)])).await {
            Ok(_) | Err(StorageError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Builds the document that names the parts. Checksums are named only where the store knows them.
fn completion(parts: &[Part]) -> String {
    let mut text = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
    for part in parts {
        let (number, etag) = (part.number.to_string(), escape(&part.etag));
        text.extend(["<Part><PartNumber>", &number, "</PartNumber><ETag>", &etag, "</ETag>"]);
        if part.confirmed {
            text.extend(["<ChecksumSHA256>", &escape(&part.sha256), "</ChecksumSHA256>"]);
        }
        text.push_str("</Part>");
    }
    text.push_str("</CompleteMultipartUpload>");
    text
}

fn completion_time_limit(parts: &[Part]) -> Duration {
    let bytes: i64 = parts.iter().map(|part| part.size).fold(0, i64::saturating_add);
    let gibibytes = u32::try_from(bytes >> 30).unwrap_or(u32::MAX);
    limits::COMPLETE_TIMEOUT + limits::COMPLETE_TIMEOUT_PER_GIB.saturating_mul(gibibytes)
}

fn uploads_page(
    status: u16,
    body: &[u8],
    from: Option<&(String, String)>,
) -> Result<UploadPage, StorageError> {
    let answer: UploadsDocument = read_listing("ListMultipartUploadsResult", status, body)?;
    let uploads = answer.upload.into_iter().map(UnfinishedUpload::from).collect();
    if !answer.is_truncated {
        return Ok(UploadPage { uploads, next: None });
    }
    let next = (answer.next_key_marker, answer.next_upload_id_marker);
    // Sorted by key, and uploads of one key by the time at which they started. A page that doesn't lie behind the one
    // before would make the listing endless.
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
struct PartsDocument {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    part: Vec<PartElement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PartElement {
    part_number: u16,
    #[serde(rename = "ETag")]
    e_tag: String,
    size: i64,
    #[serde(rename = "ChecksumSHA256", default)]
    sha256: String,
}

impl From<PartElement> for Part {
    fn from(PartElement { part_number, e_tag, size, sha256 }: PartElement) -> Self {
        let confirmed = !sha256.is_empty();
        Self { number: part_number, etag: e_tag, size, sha256, confirmed }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadsDocument {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default)]
    upload: Vec<UploadElement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadElement {
    key: String,
    upload_id: String,
    initiated: DateTime<Utc>,
}

impl From<UploadElement> for UnfinishedUpload {
    fn from(UploadElement { key, upload_id, initiated }: UploadElement) -> Self {
        Self { key, id: upload_id, started: Timestamp::from(initiated) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u16, confirmed: bool, size: i64) -> Part {
        Part { number, etag: "\"a&b\"".to_owned(), size, sha256: "c3Vt+/=".to_owned(), confirmed }
    }

    #[test]
    fn an_upload_is_completed_with_tags_and_the_checksums_that_the_store_knows() {
        assert_eq!(
            completion(&[part(1, true, 1), part(2, false, 1)]),
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><PartNumber>1</PartNumber>\
             <ETag>&quot;a&amp;b&quot;</ETag><ChecksumSHA256>c3Vt+/=</ChecksumSHA256></Part>\
             <Part><PartNumber>2</PartNumber><ETag>&quot;a&amp;b&quot;</ETag></Part></CompleteMultipartUpload>"
        );
    }

    #[test]
    fn a_large_object_has_more_time_to_be_completed() {
        assert_eq!(completion_time_limit(&[part(1, true, 8 << 20)]), limits::COMPLETE_TIMEOUT);
        let large = [part(1, true, 3 << 30), part(2, true, 1 << 30)];
        assert_eq!(
            completion_time_limit(&large),
            limits::COMPLETE_TIMEOUT + 4 * limits::COMPLETE_TIMEOUT_PER_GIB
        );
        let absurd = [part(1, true, i64::MAX), part(2, true, i64::MAX)];
        assert!(completion_time_limit(&absurd) > Duration::from_hours(24));
    }

    #[test]
    fn unfinished_uploads_are_read_with_and_without_what_is_optional() {
        let empty: UploadsDocument =
            read_listing("ListMultipartUploadsResult", 200, b"<ListMultipartUploadsResult/>").unwrap();
        assert!(!empty.is_truncated && empty.upload.is_empty());
        let answer: UploadsDocument = read_listing("ListMultipartUploadsResult",
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
        let uploads: Vec<UnfinishedUpload> = answer.upload.into_iter().map(UnfinishedUpload::from).collect();
        assert_eq!((uploads.len(), uploads[1].id.as_str()), (2, "u2"));
    }

    #[test]
    fn a_listing_of_uploads_ends_when_it_says_so_and_never_repeats() {
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
}
