//! Multipart uploads: starting, listing and aborting them.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::client::request::Request;
use super::listing::read_listing;
use super::{Storage, StorageError, limits};
use crate::domain::Timestamp;

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
#[serde(rename = "InitiateMultipartUploadResult", rename_all = "PascalCase")]
struct Initiated {
    upload_id: String,
}

impl Storage {
    /// Starts an upload and aborts it: `Ok` when the store supports multipart uploads and permits them.
    pub async fn try_multipart(&self, key: &str) -> Result<(), StorageError> {
        let response = self.client.send(Request::start_upload(key, "application/octet-stream")).await?;
        let text = tokio::time::timeout(limits::REQUEST_TIMEOUT, response.text()).await;
        let text = text.map_err(|_| StorageError::TimedOut)??;
        let started: Initiated =
            quick_xml::de::from_str(&text).map_err(|error| StorageError::Other(error.to_string()))?;
        self.client.send(Request::abort_upload(key, &started.upload_id)).await?;
        Ok(())
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

    /// Aborts an upload, if there is one, so that none of its parts is left.
    pub async fn abort_upload(&self, upload: &UnfinishedUpload) -> Result<(), StorageError> {
        match self.client.send(Request::abort_upload(&upload.key, &upload.id)).await {
            Ok(_) | Err(StorageError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
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
