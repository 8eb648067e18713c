//! Presigned URLs, by which clients read and store objects themselves.

use std::time::Duration;

use http::HeaderName;
use url::Url;

use super::client::request::Request;
use super::{Storage, StorageError};

/// Names of the parameters by which a response gets other headers than those of the object.
const CONTENT_DISPOSITION: &str = "response-content-disposition";
const CONTENT_TYPE: &str = "response-content-type";

impl Storage {
    /// Makes a URL by which anybody can read the object for this long, a week at most. The response has these headers.
    pub fn presign_get(
        &self,
        key: &str,
        ttl: Duration,
        content_disposition: &str,
        content_type: &str,
    ) -> Result<Url, StorageError> {
        let query = [(CONTENT_DISPOSITION, content_disposition), (CONTENT_TYPE, content_type)];
        self.client.presign(&Request::get(key, &query), ttl)
    }

    /// Makes a URL by which anybody can store the object for this long, a week at most. The request must have these
    /// headers with these values; with `content-length` and `x-amz-checksum-sha256` among them, the store takes no other
    /// bytes than those that were announced.
    pub fn presign_put(
        &self,
        key: &str,
        ttl: Duration,
        headers: &[(HeaderName, &str)],
    ) -> Result<Url, StorageError> {
        let mut request = Request::put(key, &[]);
        for (name, value) in headers {
            request = request.with_header(name.clone(), value)?;
        }
        self.client.presign(&request, ttl)
    }

    /// Makes a URL by which anybody can store this part of an upload for this long, a week at most.
    pub fn presign_part(
        &self,
        key: &str,
        upload_id: &str,
        number: u16,
        ttl: Duration,
    ) -> Result<Url, StorageError> {
        let query = [("partNumber", &*number.to_string()), ("uploadId", upload_id)];
        self.client.presign(&Request::put(key, &query), ttl)
    }
}
