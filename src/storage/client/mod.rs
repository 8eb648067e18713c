//! HTTP client of the object store. Requests are signed with rust-s3 and sent by a client of our own, because the
//! certificate authorities of rust-s3's client can't be configured.

pub(super) mod clock;
pub(super) mod request;
mod sign;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, DATE, ETAG, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Body, NoProxy, Response};
use secrecy::ExposeSecret;
use url::Url;

use self::clock::StoreClock;
use self::request::Request;
use self::sign::Signer;
use super::errors::StorageError;
use super::limits;
use crate::config::S3Config;
use crate::config::proxy::Proxy;

/// Client of one bucket. Every request to the store goes through it.
#[derive(Clone)]
pub(super) struct Client {
    bucket: String,
    region: String,
    signer: Arc<Signer>,
    /// Signer of the URLs that clients get.
    public_signer: Arc<Signer>,
    http: reqwest::Client,
    clock: Arc<StoreClock>,
}

impl Client {
    /// Makes the client; nothing is asked of the store yet.
    pub fn new(config: &S3Config) -> Result<Self, StorageError> {
        let tls = config.authorities.clone().unwrap_or_default().client(None);
        let tls = tls.map_err(|error| StorageError::Other(error.to_string()))?;
        // No redirects, since a signature is for one host. `no_proxy` keeps the client from reading the environment.
        let mut http =
            reqwest::Client::builder().redirect(Policy::none()).use_preconfigured_tls(tls).no_proxy();
        if let Some(Proxy { url, bypass }) = &config.proxy {
            let bypass = bypass.as_deref().and_then(NoProxy::from_string);
            http = http.proxy(reqwest::Proxy::all(url.expose_secret())?.no_proxy(bypass));
        }
        let http = http.build()?;
        let public = config.public_endpoint.as_ref().or(config.endpoint.as_ref());
        Ok(Self {
            bucket: config.bucket.clone(),
            region: config.region.clone(),
            signer: Arc::new(Signer::new(config, config.endpoint.as_deref())),
            public_signer: Arc::new(Signer::new(config, public.map(String::as_str))),
            http,
            clock: Arc::default(),
        })
    }

    /// Returns the bucket's name.
    pub fn bucket_name(&self) -> String {
        self.bucket.clone()
    }

    /// Returns the region.
    pub fn region(&self) -> String {
        self.region.clone()
    }

    /// Returns the URL by which a client can send this request itself, with the request's headers, for this long.
    pub fn presign(&self, request: &Request<'_>, ttl: Duration) -> Result<Url, StorageError> {
        let ttl_secs =
            u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).clamp(1, limits::MAX_SIGNATURE_TTL_SECS);
        self.public_signer.sign(request, ttl_secs, self.clock.ahead_secs())
    }

    /// Sends a request about an object and returns a successful response of an S3 server: each has an `ETag`. A proxy's
    /// page with status 200 has none, and must not be taken for an object.
    pub async fn send_for_object(&self, request: Request<'_>) -> Result<Response, StorageError> {
        let response = self.send(request).await?;
        if response.headers().contains_key(ETAG) {
            return Ok(response);
        }
        let status = response.status().as_u16();
        Err(StorageError::of_response(status, &read_error(response).await?))
    }

    /// Sends a request and returns a successful response.
    pub async fn send(&self, request: Request<'_>) -> Result<Response, StorageError> {
        let response = self.exchange(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry_after(&response);
        let body = read_error(response).await?;
        Err(match (StorageError::of_response(status.as_u16(), &body), retry_after) {
            (StorageError::Unavailable(text), Some(wait)) => StorageError::Busy(text, wait),
            (error, _) => error,
        })
    }

    /// Sends a request and returns any response. When the store refuses the time of the signature, the request is
    /// signed again by the store's clock.
    pub async fn exchange(&self, request: Request<'_>) -> Result<Response, StorageError> {
        let ahead = self.clock.ahead_secs();
        let response = self.attempt(&request, ahead).await?;
        if response.status() == StatusCode::FORBIDDEN {
            if let Some(date) = response.headers().get(DATE).and_then(|date| date.to_str().ok()) {
                self.clock.set(date);
            }
            let now_ahead = self.clock.ahead_secs();
            // Only once: with the same time the answer would be the same.
            if now_ahead != ahead {
                return self.attempt(&request, now_ahead).await;
            }
        }
        Ok(response)
    }

    async fn attempt(&self, request: &Request<'_>, ahead_secs: i64) -> Result<Response, StorageError> {
        let url = self.signer.sign(request, limits::SIGNATURE_TTL_SECS, ahead_secs)?;
        let mut sending = self.http.request(request.method.clone(), url).headers(request.headers.clone());
        if request.has_body() {
            // Set for an empty body and for pieces too: S3 refuses a body that comes in chunks.
            sending = sending.header(CONTENT_LENGTH, request.body_bytes());
        }
        sending = match request.body.as_slice() {
            [] => sending,
            [whole] => sending.body(whole.clone()),
            pieces => {
                let pieces: Vec<_> = pieces.iter().cloned().map(Ok::<_, Infallible>).collect();
                sending.body(Body::wrap_stream(stream::iter(pieces)))
            }
        };
        let limit = request.time_limit;
        // reqwest's time limit includes the body, which a download may take longer for.
        if !request.is_stream {
            sending = sending.timeout(limit);
        }
        Ok(tokio::time::timeout(limit, sending.send()).await.map_err(|_| StorageError::TimedOut)??)
    }
}

/// Reads the body of a response, which may have at most `limit` bytes.
pub(super) async fn read_body(mut response: Response, limit: usize) -> Result<Bytes, StorageError> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > limit {
            return Err(StorageError::Unavailable(format!("an answer of more than {limit} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Reads an error document; empty when it is too long or cut off.
async fn read_error(response: Response) -> Result<Bytes, StorageError> {
    let body = tokio::time::timeout(limits::OPEN_TIMEOUT, read_body(response, limits::MAX_ERROR_BYTES)).await;
    Ok(body.map_err(|_| StorageError::TimedOut)?.unwrap_or_default())
}

/// Returns the pause that the store asks for; S3 gives it in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
