//! Requests to the store: signed by rust-s3, sent by a client of our own, since rust-s3's can't be told whom to believe.

use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderMap, Method};
use reqwest::{Client, RequestBuilder, Response};
use s3::creds::Credentials;
use s3::error::S3Error;
use s3::{Bucket, Region};
use secrecy::ExposeSecret;

use super::errors::StorageError;
use crate::config::S3Config;

/// How long the signature of a request is good for: until it is sent.
const SIGNATURE_SECS: u32 = 60;

/// Nothing else talks to the store.
#[derive(Clone)]
pub(super) struct SignedClient {
    bucket: Box<Bucket>,
    client: Client,
}

impl SignedClient {
    pub fn new(config: &S3Config) -> Result<Self, StorageError> {
        let region = match &config.endpoint {
            Some(endpoint) => Region::Custom { region: config.region.clone(), endpoint: endpoint.clone() },
            None => config.region.parse().map_err(|_| StorageError::Other("unknown region".to_owned()))?,
        };
        let secret = config.secret_access_key.expose_secret();
        let credentials = Credentials::new(Some(&config.access_key_id), Some(secret), None, None, None)
            .map_err(|error| StorageError::Other(error.to_string()))?;
        let mut bucket = Bucket::new(&config.bucket, region, credentials)?;
        // Names in the path work everywhere; names in the host only where DNS plays along.
        if config.endpoint.is_some() {
            bucket.set_path_style();
        }
        let tls = config.authorities.clone().unwrap_or_default().client(None);
        let tls = tls.map_err(|error| StorageError::Other(error.to_string()))?;
        let client = Client::builder().use_preconfigured_tls(tls).build()?;
        Ok(Self { bucket, client })
    }

    pub fn bucket_name(&self) -> String {
        self.bucket.name()
    }

    pub fn region(&self) -> String {
        self.bucket.region().to_string()
    }

    /// Of the bucket itself when the key is empty.
    pub async fn get(&self, key: &str, query: &[(&str, &str)]) -> Result<RequestBuilder, StorageError> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let query: HashMap<String, String> = query.collect();
        let url = self.bucket.presign_get(key, SIGNATURE_SECS, Some(query)).await?;
        Ok(self.client.request(Method::GET, url))
    }

    pub async fn delete(&self, key: &str) -> Result<RequestBuilder, StorageError> {
        let url = self.bucket.presign_delete(key, SIGNATURE_SECS).await?;
        Ok(self.client.request(Method::DELETE, url))
    }

    /// Through rust-s3's own client, which believes Mozilla's authorities only: it signs no URL that names an upload.
    pub async fn abort_upload(&self, key: &str, id: &str) -> Result<(), StorageError> {
        match self.bucket.abort_upload(key, id).await {
            Ok(()) => Ok(()),
            Err(S3Error::HttpFailWithBody(status, text)) => Err(StorageError::of_status(status, &text)),
            Err(error) => Err(error.into()),
        }
    }

    /// As `get`. The headers are signed.
    pub async fn put(&self, key: &str, headers: HeaderMap) -> Result<RequestBuilder, StorageError> {
        let url = self.bucket.presign_put(key, SIGNATURE_SECS, Some(headers.clone()), None).await?;
        Ok(self.client.request(Method::PUT, url).headers(headers))
    }
}

/// Any answer that means success. `limit` is for its headers.
pub(super) async fn send(request: RequestBuilder, limit: Duration) -> Result<Response, StorageError> {
    let answer = tokio::time::timeout(limit, request.send()).await.map_err(|_| StorageError::TimedOut)??;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = tokio::time::timeout(limit, answer.text()).await.map_err(|_| StorageError::TimedOut)?;
    Err(StorageError::of_status(status.as_u16(), &text.unwrap_or_default()))
}
