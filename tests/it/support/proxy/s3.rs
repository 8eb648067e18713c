//! An S3 server in front of another one, that can fail, stay silent, and lie. All else goes through unchanged.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3::creds::Credentials;
use s3::{Bucket, Region};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::Ports;

/// Dropping it ends it, and every connection to it.
pub struct S3Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    _ports: Ports,
}

/// Treatment of the requests that are hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Mode {
    Pass,
    /// 500
    InternalError,
    /// 503 with `Retry-After: 1`
    SlowDown,
    /// Read, and never answered, also when the mode changes.
    Silence,
    /// 403
    Forbidden,
    /// 404, as for a bucket that is gone.
    NoBucket,
    /// An object that is put is not stored: 200, without a checksum. Other requests pass.
    StoreNothing,
    /// An object that is put is stored by half: 200, without a checksum. Other requests pass.
    StoreTruncated,
}

/// Credentials with which the proxy itself stores objects.
#[derive(Debug, Clone)]
pub struct Direct {
    pub bucket: String,
    pub access_key: String,
    pub secret_key: String,
}

struct Shared {
    target: String,
    direct: Box<Bucket>,
    client: Client<HttpConnector, Incoming>,
    mode: Mutex<(S3Mode, Share)>,
    asked: AtomicU64,
    hits: AtomicU64,
}

/// Share of the requests that a mode is about: those that it hits.
#[derive(Clone, Copy)]
enum Share {
    Percent(u8),
    Next(u64),
}

type Answer = Response<Either<Incoming, Full<Bytes>>>;

impl S3Proxy {
    /// `target` is `http://host:port`.
    pub async fn start(target: &str, direct: Direct) -> Self {
        let ports = Ports::reserve();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.first)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let region = Region::Custom { region: "us-east-1".to_owned(), endpoint: target.to_owned() };
        let (id, secret) = (Some(direct.access_key.as_str()), Some(direct.secret_key.as_str()));
        let credentials = Credentials::new(id, secret, None, None, None).unwrap();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            direct: Bucket::new(&direct.bucket, region, credentials).unwrap().with_path_style(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            mode: Mutex::new((S3Mode::Pass, Share::Percent(0))),
            asked: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task, _ports: ports }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `percent` of the requests that the mode is about are hit; others pass. Which ones follows from their numbers
    /// alone.
    pub fn set(&self, mode: S3Mode, percent: u8) {
        *self.shared.mode.lock().unwrap() = (mode, Share::Percent(percent));
    }

    /// The next so many requests that the mode is about are hit; others pass.
    pub fn hit_next(&self, mode: S3Mode, count: u64) {
        *self.shared.mode.lock().unwrap() = (mode, Share::Next(count));
    }

    /// Returns the number of requests that were hit so far.
    pub fn hits(&self) -> u64 {
        self.shared.hits.load(Relaxed)
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Owns every connection: aborting it ends them.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((socket, _)) = listener.accept() => {
                connections.spawn(serve(socket, Arc::clone(&shared)));
            }
        }
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    socket.set_nodelay(true).unwrap();
    let answer = hyper::service::service_fn(|request| shared.answer(request));
    // Where the store can't be reached, the client's connection ends as well.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, ClientError> {
        let mode = self.mode_for(&request);
        if mode == S3Mode::Pass {
            return self.forward(request).await;
        }
        self.hits.fetch_add(1, Relaxed);
        let path = request.uri().path().to_owned();
        // A client that hangs up halfway gets no answer at all.
        let Ok(body) = request.into_body().collect().await.map(http_body_util::Collected::to_bytes) else {
            return Ok(made(Response::builder().status(StatusCode::BAD_REQUEST), Bytes::new()));
        };
        match mode {
            S3Mode::Pass | S3Mode::Silence => Ok(never(std::future::pending().await)),
            S3Mode::InternalError => Ok(error(500, "InternalError")),
            S3Mode::SlowDown => Ok(error(503, "SlowDown")),
            S3Mode::Forbidden => Ok(error(403, "AccessDenied")),
            S3Mode::NoBucket => Ok(error(404, "NoSuchBucket")),
            S3Mode::StoreNothing => Ok(stored()),
            S3Mode::StoreTruncated => Ok(self.store_half(&path, &body).await),
        }
    }

    fn mode_for(&self, request: &Request<Incoming>) -> S3Mode {
        let mut planned = self.mode.lock().unwrap();
        let (mode, share) = &mut *planned;
        let puts_object = request.method() == Method::PUT && self.key(request.uri().path()).is_some();
        let is_about = match mode {
            S3Mode::Pass => false,
            S3Mode::StoreNothing | S3Mode::StoreTruncated => puts_object,
            S3Mode::InternalError
            | S3Mode::SlowDown
            | S3Mode::Silence
            | S3Mode::Forbidden
            | S3Mode::NoBucket => true,
        };
        let is_hit = is_about
            && match share {
                Share::Percent(percent) => {
                    scattered(self.asked.fetch_add(1, Relaxed)) % 100 < u64::from(*percent)
                }
                Share::Next(0) => false,
                Share::Next(left) => {
                    *left -= 1;
                    true
                }
            };
        if is_hit { *mode } else { S3Mode::Pass }
    }

    /// Returns the key of an object in our bucket, by names in the path.
    fn key<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix('/')?.strip_prefix(self.direct.name().as_str())?.strip_prefix('/')
    }

    async fn forward(&self, mut request: Request<Incoming>) -> Result<Answer, ClientError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = format!("{}{path}", self.target).parse::<Uri>().unwrap();
        Ok(self.client.request(request).await?.map(Either::Left))
    }

    /// Stores half of an object and answers as the store does. A whole object that is there stays: losing stored bytes is
    /// another fault, which no worker can see.
    async fn store_half(&self, path: &str, body: &Bytes) -> Answer {
        let key = self.key(path).unwrap_or_default();
        let there = self.direct.head_object(key).await.ok().and_then(|(head, _)| head.content_length);
        if there == i64::try_from(body.len()).ok() {
            return stored();
        }
        match self.direct.put_object(key, &body[..body.len() / 2]).await {
            Ok(_) => stored(),
            Err(_) => error(500, "InternalError"),
        }
    }
}

/// The same for a number each time, and spread evenly (splitmix64).
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn stored() -> Answer {
    made(Response::builder().header(ETAG, "\"00000000000000000000000000000000\""), Bytes::new())
}

fn error(status: u16, code: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>planted</Message></Error>"
    );
    let answer = Response::builder().status(status).header(CONTENT_TYPE, "application/xml");
    let answer = if status == 503 { answer.header(RETRY_AFTER, "1") } else { answer };
    made(answer, Bytes::from(text))
}

fn made(answer: http::response::Builder, body: Bytes) -> Answer {
    answer.body(Either::Right(Full::new(body))).unwrap()
}

fn never(never: Infallible) -> Answer {
    match never {}
}
