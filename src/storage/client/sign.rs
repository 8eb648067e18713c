//! Signatures of requests, made by rust-s3: in the URL where it can, otherwise in the headers.

use std::time::Duration;

use http::HeaderMap;
use s3::Bucket;
use s3::command::Command;
use s3::request::Request as _;
use s3::request::tokio_backend::ReqwestRequest;

use super::request::Request;
use crate::storage::errors::StorageError;

/// Returns the URL and the headers of a signed request. `ahead_secs` is by how much the store's clock is ahead of this
/// machine's.
pub(super) async fn sign(
    bucket: &Bucket,
    request: &Request<'_>,
    ahead_secs: i64,
) -> Result<(String, HeaderMap), StorageError> {
    let mut signed = ReqwestRequest::new(bucket, request.key, request.command.clone()).await?;
    let ahead = Duration::from_secs(ahead_secs.unsigned_abs());
    if ahead_secs < 0 {
        signed.datetime -= ahead;
    } else {
        signed.datetime += ahead;
    }
    // rust-s3 can't sign a URL that starts or aborts a multipart upload.
    let in_headers = matches!(
        request.command,
        Command::InitiateMultipartUpload { .. } | Command::AbortMultipartUpload { .. }
    );
    if in_headers {
        return Ok((signed.url()?.into(), signed.headers().await?));
    }
    Ok((signed.presigned().await?, request.headers.clone()))
}
