//! Requests to the object store, before they are signed.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::domain::ByteRange;
use crate::storage::errors::StorageError;
use crate::storage::limits;

/// Request for an object, or for the bucket itself where the key is empty.
#[derive(Debug)]
pub(in crate::storage) struct Request<'a> {
    pub(super) key: &'a str,
    pub(super) method: Method,
    pub(super) query: Vec<(&'static str, String)>,
    /// Headers that are signed and sent.
    pub(super) headers: HeaderMap,
    /// Pieces of the body. They are sent one after the other, without being joined.
    pub(super) body: Vec<Bytes>,
    pub(super) time_limit: Duration,
    /// The response is read as a stream: the time limit is for its headers alone.
    pub(super) is_stream: bool,
}

impl<'a> Request<'a> {
    fn new(key: &'a str, method: Method) -> Self {
        Self {
            key,
            method,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            time_limit: limits::REQUEST_TIMEOUT,
            is_stream: false,
        }
    }

    /// Makes a GET of a key, or of the bucket.
    pub fn get(key: &'a str, query: &[(&'static str, &str)]) -> Self {
        Self::new(key, Method::GET).with_query(query)
    }

    /// Makes a GET whose response is read as a stream.
    pub fn download(key: &'a str, range: Option<ByteRange>) -> Result<Self, StorageError> {
        let request = Self { is_stream: true, time_limit: limits::OPEN_TIMEOUT, ..Self::get(key, &[]) };
        match range {
            None => Ok(request),
            Some(ByteRange { first, last }) => request.with_header(RANGE, &format!("bytes={first}-{last}")),
        }
    }

    /// Makes a POST.
    pub fn post(key: &'a str, query: &[(&'static str, &str)]) -> Self {
        Self::new(key, Method::POST).with_query(query)
    }

    /// Makes a DELETE.
    pub fn delete(key: &'a str, query: &[(&'static str, &str)]) -> Self {
        Self::new(key, Method::DELETE).with_query(query)
    }

    /// Makes a PUT of a key, or of the bucket.
    pub fn put(key: &'a str, query: &[(&'static str, &str)]) -> Self {
        Self::new(key, Method::PUT).with_query(query)
    }

    fn with_query(self, query: &[(&'static str, &str)]) -> Self {
        let query = query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { query, ..self }
    }

    /// Adds a header. Fails for a value that no header can have.
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Result<Self, StorageError> {
        let value = HeaderValue::from_str(value).map_err(|error| StorageError::Other(error.to_string()))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Adds the header that names the body's, or the object's, media type.
    pub fn with_content_type(self, content_type: &str) -> Result<Self, StorageError> {
        self.with_header(CONTENT_TYPE, content_type)
    }

    /// Sets the body, and the time limit for its size.
    pub fn with_body(self, pieces: Vec<Bytes>) -> Self {
        let request = Self { body: pieces, ..self };
        let mebibytes = u32::try_from(request.body_bytes() >> 20).unwrap_or(u32::MAX);
        request.within(limits::REQUEST_TIMEOUT + limits::REQUEST_TIMEOUT_PER_MIB * mebibytes)
    }

    /// Sets the time limit of the whole request.
    pub fn within(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    /// Tells whether requests of this method have a body, even if it is empty.
    pub(super) fn has_body(&self) -> bool {
        self.method == Method::PUT || self.method == Method::POST
    }

    /// Returns the size of the body.
    pub(super) fn body_bytes(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }
}
