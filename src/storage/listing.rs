//! Listings of the bucket's objects, page by page.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::client::read_body;
use super::client::request::Request;
use super::{Storage, StorageError, limits, xml};
use crate::domain::Timestamp;

/// Object as the store describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    pub size: i64,
    pub modified: Timestamp,
}

/// Page of a listing of objects, sorted by their keys as text.
#[derive(Debug)]
pub struct ObjectPage {
    pub objects: Vec<ListedObject>,
    /// Position of the next page; `None` after the last one.
    pub next: Option<String>,
}

/// Check that a listing advances from page to page; one that doesn't would be read for ever.
#[derive(Debug, Default)]
pub struct ListingProgress {
    last: Option<String>,
    empty_pages: u32,
}

impl ListingProgress {
    /// Notes the next page, whose keys must come after those before.
    pub fn note(&mut self, page: &ObjectPage) -> Result<(), StorageError> {
        let stuck = |what: &str| Err(StorageError::Unavailable(format!("a listing doesn't advance: {what}")));
        let (Some(first), Some(last)) = (page.objects.first(), page.objects.last()) else {
            self.empty_pages += 1;
            if self.empty_pages > limits::MAX_EMPTY_PAGES {
                return stuck("too many empty pages");
            }
            return Ok(());
        };
        self.empty_pages = 0;
        // S3 sorts by key, so a key that is not behind the last one means that the listing started over.
        if self.last.as_ref().is_some_and(|last| first.key <= *last) {
            return stuck("its keys begin again");
        }
        self.last = Some(last.key.clone());
        Ok(())
    }
}

impl Storage {
    /// Lists a page of the objects whose keys begin with `prefix`; `from` is the `next` of the page before.
    pub async fn list_objects(&self, prefix: &str, from: Option<&str>) -> Result<ObjectPage, StorageError> {
        let mut query = vec![("list-type", "2"), ("max-keys", limits::LISTING_PAGE_SIZE), ("prefix", prefix)];
        query.extend(from.map(|token| ("continuation-token", token)));
        let (status, body) = self.query_bucket(&query).await?;
        objects_page(status, &body, prefix, from)
    }

    /// Sends a query about the bucket; returns status and body, whatever they are.
    pub(super) async fn query_bucket(
        &self,
        query: &[(&'static str, &str)],
    ) -> Result<(u16, Bytes), StorageError> {
        let response = self.client.exchange(Request::get("", query)).await?;
        let status = response.status().as_u16();
        let body =
            tokio::time::timeout(limits::REQUEST_TIMEOUT, read_body(response, limits::MAX_LISTING_BYTES))
                .await;
        Ok((status, body.map_err(|_| StorageError::TimedOut)??))
    }
}

/// Reads the whole document, or the error that the store sent instead. A success that isn't the listing asked for is an
/// error: read as an empty listing, it would make every object a missing one.
pub(super) fn read_listing<T: DeserializeOwned>(
    root: &str,
    status: u16,
    body: &[u8],
) -> Result<T, StorageError> {
    if !(200..=299).contains(&status) {
        return Err(StorageError::of_response(status, body));
    }
    xml::read(root, body).map_err(|why| {
        let error = StorageError::of_response(status, body);
        if matches!(error, StorageError::Unavailable(_)) {
            StorageError::Unavailable(format!("a listing can't be read: {why}"))
        } else {
            error
        }
    })
}

/// Reads a page of a listing of objects.
pub(super) fn objects_page(
    status: u16,
    body: &[u8],
    prefix: &str,
    from: Option<&str>,
) -> Result<ObjectPage, StorageError> {
    let answer: ObjectsDocument = read_listing("ListBucketResult", status, body)?;
    if answer.name.is_none() && answer.is_truncated.is_none() {
        return Err(StorageError::Unavailable("a listing without a bucket's name".to_owned()));
    }
    let objects: Vec<ListedObject> = answer.contents.into_iter().map(ListedObject::from).collect();
    // Foreign keys would be compared with the rows, and reported or even removed as orphans.
    if let Some(other) = objects.iter().find(|object| !object.key.starts_with(prefix)) {
        return Err(StorageError::Unavailable(format!("a listing of {prefix} names {}", other.key)));
    }
    let token = answer.next_continuation_token.filter(|token| !token.is_empty());
    // Servers that leave out the flag end a listing by leaving out the token.
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ObjectsDocument {
    name: Option<String>,
    #[serde(default, deserialize_with = "optional_bool")]
    is_truncated: Option<bool>,
    #[serde(default)]
    contents: Vec<ObjectElement>,
    next_continuation_token: Option<String>,
}

/// Reads `true` or `false` in any case; empty counts as absent.
fn optional_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
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
struct ObjectElement {
    key: String,
    size: i64,
    last_modified: DateTime<Utc>,
}

impl From<ObjectElement> for ListedObject {
    fn from(ObjectElement { key, size, last_modified }: ObjectElement) -> Self {
        Self { key, size, modified: Timestamp::from(last_modified) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_as_s3_writes_it() {
        let page = read_listing::<ObjectsDocument>(
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
        let listed = ListedObject::from(page.contents.into_iter().next().unwrap());
        assert_eq!((listed.key.as_str(), listed.size), ("files/1_a&b.txt", 182));
        assert_eq!(listed.modified.to_string(), "2026-01-03T00:00:00.000Z");
    }

    /// Reads a page: its number of objects and the next token, or the error's text.
    fn page(inner: &str, from: Option<&str>) -> Result<(usize, Option<String>), String> {
        let body = format!("<ListBucketResult><Name>b</Name>{inner}</ListBucketResult>");
        let page = objects_page(200, body.as_bytes(), "files/", from).map_err(|error| error.to_string())?;
        Ok((page.objects.len(), page.next))
    }

    #[test]
    fn a_listing_ends_when_it_says_so_and_never_repeats() {
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
