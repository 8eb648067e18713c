//! Requests to the object store, before they are signed.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::RANGE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use s3::command::Command;

use crate::domain::ByteRange;
use crate::storage::errors::StorageError;
use crate::storage::limits;

/// Request for an object, or for the bucket itself where the key is empty.
pub(in crate::storage) struct Request<'a> {
    pub(super) key: &'a str,
    pub(super) method: Method,
    pub(super) command: Command<'a>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The response is read as a stream: the time limit is for its headers alone.
    pub(super) is_stream: bool,
}

impl<'a> Request<'a> {
    fn new(key: &'a str, method: Method, command: Command<'a>) -> Self {
        Self { key, method, command, headers: HeaderMap::new(), body: Bytes::new(), is_stream: false }
    }

    /// Makes a GET of a key, or of the bucket.
    pub fn get(key: &'a str, query: &[(&str, &str)]) -> Self {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let query: HashMap<String, String> = query.collect();
        let (expiry_secs, custom_queries) = (limits::SIGNATURE_TTL_SECS, Some(query));
        Self::new(key, Method::GET, Command::PresignGet { expiry_secs, custom_queries })
    }

    /// Makes a GET whose response is read as a stream.
    pub fn download(key: &'a str, range: Option<ByteRange>) -> Result<Self, StorageError> {
        let mut request = Self { is_stream: true, ..Self::get(key, &[]) };
        if let Some(ByteRange { first, last }) = range {
            request.headers.insert(RANGE, header(&format!("bytes={first}-{last}"))?);
        }
        Ok(request)
    }

    /// Makes the request that starts a multipart upload.
    pub fn start_upload(key: &'a str, content_type: &'a str) -> Self {
        Self::new(key, Method::POST, Command::InitiateMultipartUpload { content_type })
    }

    /// Makes the request that aborts a multipart upload.
    pub fn abort_upload(key: &'a str, upload_id: &'a str) -> Self {
        Self::new(key, Method::DELETE, Command::AbortMultipartUpload { upload_id })
    }

    /// Makes the request that deletes an object.
    pub fn delete(key: &'a str) -> Self {
        Self::new(key, Method::DELETE, Command::PresignDelete { expiry_secs: limits::SIGNATURE_TTL_SECS })
    }

    /// Makes a PUT of a key, or of the bucket. The headers are signed.
    pub fn put(
        key: &'a str,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Self, StorageError> {
        let mut signed = HeaderMap::new();
        for (name, value) in headers {
            signed.insert(HeaderName::from_static(name), header(value)?);
        }
        let command = Command::PresignPut {
            expiry_secs: limits::SIGNATURE_TTL_SECS,
            custom_headers: Some(signed.clone()),
            custom_queries: None,
        };
        Ok(Self { headers: signed, body: body.into(), ..Self::new(key, Method::PUT, command) })
    }
}

fn header(text: &str) -> Result<HeaderValue, StorageError> {
    HeaderValue::from_str(text).map_err(|error| StorageError::Other(error.to_string()))
}
