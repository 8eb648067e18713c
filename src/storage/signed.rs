//! Requests to the store: signed by rust-s3, sent by a client of our own, since rust-s3's can't be told whom to believe.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{DATE, ETAG, RANGE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy, Response};
use s3::command::Command;
use s3::creds::Credentials;
use s3::request::Request;
use s3::request::tokio_backend::ReqwestRequest;
use s3::{Bucket, Region};
use secrecy::ExposeSecret;

use super::clock::StoreClock;
use super::errors::StorageError;
use super::limits;
use crate::config::S3Config;
use crate::config::proxy::Proxy;
use crate::domain::ByteRange;

/// How long the signature of a request is good for: until it is sent.
const SIGNATURE_SECS: u32 = 60;

/// Nothing else talks to the store.
#[derive(Clone)]
pub(super) struct SignedClient {
    bucket: Box<Bucket>,
    region: String,
    client: Client,
    clock: Arc<StoreClock>,
}

/// A question to the store; about the bucket itself where the key is empty.
pub(super) struct Ask<'a> {
    key: &'a str,
    method: Method,
    command: Command<'a>,
    headers: HeaderMap,
    body: Bytes,
    is_stream: bool,
}

impl<'a> Ask<'a> {
    fn new(key: &'a str, method: Method, command: Command<'a>) -> Self {
        Self { key, method, command, headers: HeaderMap::new(), body: Bytes::new(), is_stream: false }
    }

    /// Makes a GET of a key, or of the bucket.
    pub fn get(key: &'a str, query: &[(&str, &str)]) -> Self {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let query: HashMap<String, String> = query.collect();
        let (expiry_secs, custom_queries) = (SIGNATURE_SECS, Some(query));
        Self::new(key, Method::GET, Command::PresignGet { expiry_secs, custom_queries })
    }

    /// To be read as it comes: the limit is for its headers alone.
    pub fn stream(key: &'a str, range: Option<ByteRange>) -> Result<Self, StorageError> {
        let mut ask = Self { is_stream: true, ..Self::get(key, &[]) };
        if let Some(ByteRange { first, last }) = range {
            ask.headers.insert(RANGE, header(&format!("bytes={first}-{last}"))?);
        }
        Ok(ask)
    }

    /// Makes the request that begins a multipart upload.
    pub fn start_upload(key: &'a str, content_type: &'a str) -> Self {
        Self::new(key, Method::POST, Command::InitiateMultipartUpload { content_type })
    }

    /// Ends an upload in parts. Signed in its headers, as rust-s3 can't sign in advance for an upload.
    pub fn abort_upload(key: &'a str, upload_id: &'a str) -> Self {
        Self::new(key, Method::DELETE, Command::AbortMultipartUpload { upload_id })
    }

    /// Makes the request that deletes an object.
    pub fn delete(key: &'a str) -> Self {
        Self::new(key, Method::DELETE, Command::PresignDelete { expiry_secs: SIGNATURE_SECS })
    }

    /// The headers are signed.
    pub fn put(
        key: &'a str,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Self, StorageError> {
        let mut signed = HeaderMap::new();
        for (name, value) in headers {
            signed.insert(HeaderName::from_static(name), header(value)?);
        }
        let custom_headers = Some(signed.clone());
        let command =
            Command::PresignPut { expiry_secs: SIGNATURE_SECS, custom_headers, custom_queries: None };
        Ok(Self { headers: signed, body: body.into(), ..Self::new(key, Method::PUT, command) })
    }
}

fn header(text: &str) -> Result<HeaderValue, StorageError> {
    HeaderValue::from_str(text).map_err(|error| StorageError::Other(error.to_string()))
}

impl SignedClient {
    /// Makes the client; nothing is asked of the store yet.
    pub fn new(config: &S3Config) -> Result<Self, StorageError> {
        let region = Region::Custom { region: config.region.clone(), endpoint: config.address() };
        let secret = config.secret_access_key.expose_secret();
        let credentials = Credentials::new(Some(&config.access_key_id), Some(secret), None, None, None)
            .map_err(|error| StorageError::Other(error.to_string()))?;
        let mut bucket = Bucket::new(&config.bucket, region, credentials)?;
        // Names in the path work everywhere; names in the host only where DNS plays along, and certificates: Amazon's are
        // for names without dots.
        if config.endpoint.is_some() || config.bucket.contains('.') {
            bucket.set_path_style();
        }
        let tls = config.authorities.clone().unwrap_or_default().client(None);
        let tls = tls.map_err(|error| StorageError::Other(error.to_string()))?;
        // No redirects: the signature is for one host. Without `no_proxy` the client would read the environment's.
        let mut client = Client::builder().redirect(Policy::none()).use_preconfigured_tls(tls).no_proxy();
        if let Some(Proxy { url, bypass }) = &config.proxy {
            let bypass = bypass.as_deref().and_then(NoProxy::from_string);
            client = client.proxy(reqwest::Proxy::all(url.expose_secret())?.no_proxy(bypass));
        }
        let client = client.build()?;
        Ok(Self { bucket, region: config.region.clone(), client, clock: Arc::default() })
    }

    /// Returns the bucket's name.
    pub fn bucket_name(&self) -> String {
        self.bucket.name()
    }

    /// Returns the region.
    pub fn region(&self) -> String {
        self.region.clone()
    }

    /// An answer that means success, and that has come from an S3 server: each of its objects has an `ETag`.
    pub async fn send_for_object(&self, ask: Ask<'_>) -> Result<Response, StorageError> {
        let answer = self.send(ask).await?;
        if answer.headers().contains_key(ETAG) {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let text = tokio::time::timeout(limits::OPEN, body(answer, limits::ERROR_BYTES)).await;
        let text = text.map_err(|_| StorageError::TimedOut)?.unwrap_or_default();
        Err(StorageError::of_answer(status, &text))
    }

    /// An answer that means success.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Response, StorageError> {
        let answer = self.ask(ask).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let wait = wait_asked_for(&answer);
        let text = tokio::time::timeout(limits::OPEN, body(answer, limits::ERROR_BYTES)).await;
        let text = text.map_err(|_| StorageError::TimedOut)?.unwrap_or_default();
        Err(match (StorageError::of_answer(status.as_u16(), &text), wait) {
            (StorageError::Unavailable(text), Some(wait)) => StorageError::Busy(text, wait),
            (error, _) => error,
        })
    }

    /// Any answer. One that refuses the time of the signature is not the last word.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Response, StorageError> {
        let ahead = self.clock.ahead_secs();
        let answer = self.once(&ask, ahead).await?;
        if answer.status() == StatusCode::FORBIDDEN {
            if let Some(date) = answer.headers().get(DATE).and_then(|date| date.to_str().ok()) {
                self.clock.set(date);
            }
            let now_ahead = self.clock.ahead_secs();
            if now_ahead != ahead {
                return self.once(&ask, now_ahead).await;
            }
        }
        Ok(answer)
    }

    async fn once(&self, ask: &Ask<'_>, ahead_secs: i64) -> Result<Response, StorageError> {
        let mut signed = ReqwestRequest::new(&self.bucket, ask.key, ask.command.clone()).await?;
        let ahead = Duration::from_secs(ahead_secs.unsigned_abs());
        if ahead_secs < 0 {
            signed.datetime -= ahead;
        } else {
            signed.datetime += ahead;
        }
        // rust-s3 signs no URL that starts or names an upload.
        let in_headers = matches!(
            ask.command,
            Command::InitiateMultipartUpload { .. } | Command::AbortMultipartUpload { .. }
        );
        let (url, headers) = if in_headers {
            (signed.url()?.into(), signed.headers().await?)
        } else {
            (signed.presigned().await?, ask.headers.clone())
        };
        let mut request =
            self.client.request(ask.method.clone(), url).headers(headers).body(ask.body.clone());
        let mebibytes = u32::try_from(ask.body.len() >> 20).unwrap_or(u32::MAX);
        let whole = limits::REQUEST + limits::REQUEST_PER_MIB * mebibytes;
        let limit = if ask.is_stream { limits::OPEN } else { whole };
        if !ask.is_stream {
            request = request.timeout(limit);
        }
        Ok(tokio::time::timeout(limit, request.send()).await.map_err(|_| StorageError::TimedOut)??)
    }
}

/// The body, if it has no more than `limit` bytes.
pub(super) async fn body(mut answer: Response, limit: usize) -> Result<Bytes, StorageError> {
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > limit {
            return Err(StorageError::Unavailable(format!("an answer of more than {limit} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// In seconds, as S3 says it.
fn wait_asked_for(answer: &Response) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
