//! Plain client of the S3 server: what the same bytes take without the product between them and the store.

use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::{HeaderMap, HeaderValue, StatusCode};
use s3::Bucket;
use s3::serde_types::Part;
use tokio::task::JoinSet;

use super::Outcome;
use super::client::{Connection, target};
use super::content::Content;

/// Validity of signed URLs, in seconds.
const VALID: u32 = 3600;
/// Size of a part, as the product sends them.
const PART: usize = 8 << 20;
/// Parts in flight at once.
const AT_ONCE: usize = 4;

/// Makes the bucket.
pub async fn create_bucket(host: &str, bucket: &Bucket) -> Outcome<()> {
    let url = bucket.presign_put("", VALID, None, None).await?;
    let mut connection = Connection::open(host).await?;
    connection.send(("PUT", &target(&url)), &[], Content::EMPTY, StatusCode::OK).await?;
    Ok(())
}

/// Removes every object.
pub async fn empty(bucket: &Bucket) -> Outcome<()> {
    for page in bucket.list(String::new(), None).await? {
        for object in page.contents {
            bucket.delete_object(&object.key).await?;
        }
    }
    Ok(())
}

/// Sends one PUT; with a SHA-256 if the store is to verify what it gets.
pub async fn put(host: &str, bucket: &Bucket, size: usize, sha256: Option<[u8; 32]>) -> Outcome<()> {
    let checksum = sha256.map(|sha256| BASE64_STANDARD.encode(sha256));
    let mut signed = HeaderMap::new();
    if let Some(checksum) = &checksum {
        signed.insert("x-amz-checksum-sha256", HeaderValue::from_str(checksum)?);
    }
    let url = bucket.presign_put("/plain", VALID, Some(signed), None).await?;
    let headers: Vec<(&str, &str)> =
        checksum.iter().map(|value| ("x-amz-checksum-sha256", value.as_str())).collect();
    let mut connection = Connection::open(host).await?;
    let body = Content::of_size(size);
    connection.send(("PUT", &target(&url)), &headers, body, StatusCode::OK).await?;
    Ok(())
}

/// Sends a multipart upload, several parts at once.
pub async fn multipart(host: &str, bucket: &Bucket, size: usize) -> Outcome<()> {
    const KEY: &str = "/parts";
    let upload = bucket.initiate_multipart_upload(KEY, "application/octet-stream").await?.upload_id;
    let count = size.div_ceil(PART);
    let mut tasks = JoinSet::new();
    for first in 0..AT_ONCE {
        let (host, bucket, upload) = (host.to_owned(), bucket.clone(), upload.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(&host).await?;
            let mut parts = Vec::new();
            for index in (first..count).step_by(AT_ONCE) {
                let part_number = u32::try_from(index + 1)?;
                let queries = HashMap::from([
                    ("partNumber".to_owned(), part_number.to_string()),
                    ("uploadId".to_owned(), upload.clone()),
                ]);
                let url = bucket.presign_put(KEY, VALID, None, Some(queries)).await?;
                let body = Content::of_size(PART.min(size - index * PART));
                let answer = connection.send(("PUT", &target(&url)), &[], body, StatusCode::OK).await?;
                parts.push(Part { part_number, etag: answer.header("etag")?.to_owned() });
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(parts)
        });
    }
    let mut parts = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        parts.extend(done??);
    }
    parts.sort_by_key(|part| part.part_number);
    bucket.complete_multipart_upload(KEY, &upload, parts).await?;
    Ok(())
}
