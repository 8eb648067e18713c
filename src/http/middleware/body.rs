//! Request bodies: one limit of size, time and rate for all of them, whether a handler reads them or not.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpMessage;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, Method};
use actix_web::web::Data;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::domain::{Error, ErrorKind};
use crate::http::AppState;
use crate::http::connection::Activity;
use crate::http::extract::BODY_LIMIT;

/// Time that a whole body has to arrive.
const TIME: Duration = Duration::from_secs(15);
/// At least `MIN_PER_WINDOW` bytes, or the end, must arrive in each window: 1 KiB/s.
const WINDOW: Duration = Duration::from_secs(5);
const MIN_PER_WINDOW: u64 = 5 << 10;
/// Time for a body that is still arriving when the process is asked to stop.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes of a body that are not counted against the process's budget.
const FREE: usize = 8 << 10;
/// What is read of a body after an answer that did not need it, so that the connection can be used again.
const DRAIN_LIMIT: u64 = 64 << 10;
const DRAIN_TIME: Duration = Duration::from_millis(100);

pub(super) const ACCEPTED_CODINGS: &str = "gzip, deflate";
pub(super) const UNSUPPORTED_CODING: &str = "unsupported_content_encoding";

/// The body of one request. Its reader and the middleware share it; while anybody holds it unfinished, the server closes
/// the connection after the answer instead of waiting for the rest. A dropped body must never be left to actix-http:
/// once its read buffer (128 KiB) is full of one that is being dropped, nothing wakes the connection again.
pub(super) struct Body(Rc<Shared>);

struct Shared {
    state: Data<AppState>,
    connection: Option<Rc<Activity>>,
    inner: RefCell<Inner>,
    refusal: Cell<Option<Refusal>>,
    /// Bytes taken of the process's budget.
    taken: Cell<usize>,
}

struct Inner {
    payload: Payload,
    /// The end has been read.
    is_over: bool,
    /// Bytes left, where the server does not know the end: it takes what follows an ignored `Upgrade` for another protocol.
    left: Option<u64>,
    received: u64,
    in_window: u64,
    started: Instant,
    window: Instant,
    /// Made when the body has to be waited for: mostly it arrives with its head.
    wait: Option<Wait>,
}

struct Wait {
    timer: Pin<Box<Sleep>>,
    /// `None` once the process has been asked to stop.
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// Why a body is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    TooLarge,
    TooLate,
    TooSlow,
    NoMemory,
    Stopping,
}

impl Body {
    /// Puts the limits around the request's body. `None`: it has none.
    pub fn guard(request: &mut ServiceRequest) -> Result<Option<Self>, Error> {
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            return Ok(None);
        }
        let Some(state) = request.app_data::<Data<AppState>>().cloned() else {
            return Err(Error::internal("the server has no state"));
        };
        let length = content_length(request);
        let left = is_taken_for_another_protocol(request).then(|| length.unwrap_or(0));
        let now = Instant::now();
        let inner = Inner {
            payload,
            is_over: false,
            left,
            received: 0,
            in_window: 0,
            started: now,
            window: now,
            wait: None,
        };
        let shared = Shared {
            state,
            connection: request.request().conn_data::<Rc<Activity>>().cloned(),
            inner: RefCell::new(inner),
            refusal: Cell::new(None),
            taken: Cell::new(0),
        };
        if let Some(connection) = &shared.connection {
            connection.begin_body();
        }
        let body = Self(Rc::new(shared));
        if length.is_some_and(|length| length > BODY_LIMIT as u64) {
            body.0.refusal.set(Some(Refusal::TooLarge));
        }
        if left != Some(0) {
            let stream: Pin<Box<dyn Stream<Item = _>>> = Box::pin(Reader(Rc::clone(&body.0)));
            request.set_payload(Payload::Stream { payload: stream });
        }
        Ok(Some(body))
    }

    /// The error that the request is to be answered with, whatever its handler made of it.
    pub fn refusal(&self) -> Option<Error> {
        self.0.refusal.get().map(Refusal::error)
    }

    /// True when the body has ended, or ends soon enough to be read and dropped.
    pub async fn ends(&self) -> bool {
        let rest = async {
            let mut rest = Reader(Rc::clone(&self.0));
            let mut dropped = 0;
            while let Some(Ok(bytes)) = rest.next().await {
                dropped += bytes.len() as u64;
                if dropped > DRAIN_LIMIT {
                    break;
                }
            }
        };
        let is_over = || self.0.inner.borrow().is_over;
        if !is_over() && self.0.refusal.get().is_none() {
            // Whether it ended in time is what counts.
            let _ = tokio::time::timeout(DRAIN_TIME, rest).await;
        }
        is_over()
    }
}

/// The body as its handler reads it.
struct Reader(Rc<Shared>);

impl Stream for Reader {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

impl Drop for Reader {
    /// Whoever read it has made something else of it.
    fn drop(&mut self) {
        self.0.state.input.give_back(self.0.taken.take());
    }
}

impl Shared {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if self.refusal.get().is_some() {
            return Poll::Ready(Some(Err(PayloadError::Incomplete(None))));
        }
        let inner = &mut *self.inner.borrow_mut();
        if inner.is_over || inner.left == Some(0) {
            return Poll::Ready(None);
        }
        let Poll::Ready(next) = inner.payload.poll_next_unpin(cx) else {
            if let Some(connection) = &self.connection {
                connection.all_consumed();
            }
            let refusal = ready!(inner.poll_wait(cx, &self.state));
            self.refusal.set(Some(refusal));
            return Poll::Ready(Some(Err(PayloadError::Incomplete(None))));
        };
        match next {
            Some(Ok(mut bytes)) => {
                if let Some(connection) = &self.connection {
                    connection.consumed(bytes.len());
                }
                if let Some(left) = &mut inner.left {
                    bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= bytes.len() as u64;
                }
                let refusal = self.count(inner, bytes.len()).err();
                self.refusal.set(refusal);
                Poll::Ready(Some(if refusal.is_none() { Ok(bytes) } else { Err(PayloadError::Overflow) }))
            }
            None => {
                inner.is_over = true;
                Poll::Ready(None)
            }
            // The server closes the connection by itself.
            Some(Err(error)) => {
                inner.is_over = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn count(&self, inner: &mut Inner, bytes: usize) -> Result<(), Refusal> {
        inner.received += bytes as u64;
        inner.in_window += bytes as u64;
        if inner.received > BODY_LIMIT as u64 {
            return Err(Refusal::TooLarge);
        }
        if inner.received > FREE as u64 {
            if !self.state.input.take(bytes) {
                return Err(Refusal::NoMemory);
            }
            self.taken.set(self.taken.get() + bytes);
        }
        Ok(())
    }
}

impl Inner {
    /// Ready when the body is not worth waiting for any longer.
    fn poll_wait(&mut self, cx: &mut Context<'_>, state: &AppState) -> Poll<Refusal> {
        let end = self.started + TIME;
        let Wait { timer, stop } = self.wait.get_or_insert_with(|| Wait {
            timer: Box::pin(sleep_until(end.min(self.window + WINDOW))),
            stop: Some(Box::pin(state.stopping.clone().cancelled_owned())),
        });
        loop {
            if stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
                *stop = None;
                let limit = timer.deadline().min(Instant::now() + GRACE);
                timer.as_mut().reset(limit);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if stop.is_none() {
                return Poll::Ready(Refusal::Stopping);
            }
            if now >= end {
                return Poll::Ready(Refusal::TooLate);
            }
            if std::mem::take(&mut self.in_window) < MIN_PER_WINDOW {
                return Poll::Ready(Refusal::TooSlow);
            }
            self.window = now;
            timer.as_mut().reset(end.min(now + WINDOW));
        }
    }
}

impl Refusal {
    fn error(self) -> Error {
        match self {
            Self::TooLarge => {
                let detail = format!("the body has more than {BODY_LIMIT} bytes");
                Error::new(ErrorKind::TooLarge, "body_too_large", detail)
            }
            Self::TooLate => {
                let detail = format!("the body did not arrive within {} seconds", TIME.as_secs());
                Error::new(ErrorKind::Timeout, "request_timeout", detail)
            }
            Self::TooSlow => {
                let detail = "less than 1 KiB of the body arrived per second";
                Error::new(ErrorKind::Timeout, "request_timeout", detail)
            }
            Self::NoMemory => {
                let detail = "too many large bodies are arriving at once; try again";
                Error::new(ErrorKind::Unavailable, "overloaded", detail)
            }
            Self::Stopping => Error::new(ErrorKind::Unavailable, "stopping", "the server is stopping"),
        }
    }
}

fn content_length(request: &ServiceRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// actix-http takes everything after such a head for the other protocol, even where a length is said.
fn is_taken_for_another_protocol(request: &ServiceRequest) -> bool {
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        return false;
    }
    let mut upgrades = request.headers().get_all(header::UPGRADE);
    let is_websocket = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
    upgrades.any(is_websocket)
        || request.method() == Method::CONNECT && content_length(request).unwrap_or(0) == 0
}

/// True when the client asked for another protocol, which is ignored; such a connection is closed after the answer, which
/// must not speak of an upgrade.
pub(super) fn asks_for_another_protocol(request: &ServiceRequest) -> bool {
    request.request().head().connection_type() == ConnectionType::Upgrade
        || is_taken_for_another_protocol(request)
}

/// Refuses codings that we can't undo (RFC 9110 §8.4.1, §15.5.16) and gives the others the name that actix-web knows.
pub(super) fn check_coding(request: &mut ServiceRequest) -> Result<(), Error> {
    let mut found = None;
    for value in request.headers().get_all(header::CONTENT_ENCODING) {
        let names = value.to_str().unwrap_or("?").split(',').map(|name| name.trim().to_ascii_lowercase());
        for name in names.filter(|name| !name.is_empty() && name != "identity") {
            let known = match name.as_str() {
                "gzip" | "x-gzip" => "gzip",
                "deflate" => "deflate",
                _ => "",
            };
            if known.is_empty() || found.replace(known).is_some() {
                let detail = format!("the body's Content-Encoding must be one of: {ACCEPTED_CODINGS}");
                return Err(Error::new(ErrorKind::UnsupportedMedia, UNSUPPORTED_CODING, detail));
            }
        }
    }
    if !request.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    match found {
        Some(name) => {
            request.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        None => {
            request.headers_mut().remove(header::CONTENT_ENCODING);
        }
    }
    Ok(())
}
