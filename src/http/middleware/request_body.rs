//! Request bodies: limits of size, time and rate for all of them, whether a handler reads them or not.

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

use crate::domain::{Error, ErrorCode};
use crate::http::AppState;
use crate::http::connection::{Activity, MAX_UNREAD_BODY_BYTES};
use crate::http::extract::MAX_BODY_BYTES;

/// Time limit for a whole body to arrive that is no upload.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// Window of an upload in which `MIN_BYTES_PER_WINDOW` must arrive: networks of phones have longer gaps.
const UPLOAD_RATE_WINDOW: Duration = Duration::from_secs(30);
/// Bytes of a form beside those of its files: boundaries, heads of parts and fields.
const FORM_OVERHEAD: u64 = 1 << 20;
/// Files of a form that may have the maximum size each. More of them are limited one by one.
const FORM_FILES: u64 = 100;
/// Maximum number of bytes of an upload that are received before its handler reads them.
const MAX_UNREAD_UPLOAD_BYTES: usize = 128 << 10;
/// Window in which `MIN_BYTES_PER_WINDOW`, or the end, must arrive: 1 KiB/s.
const RATE_WINDOW: Duration = Duration::from_secs(5);
const MIN_BYTES_PER_WINDOW: u64 = 5 << 10;
/// Time limit for a body that is still arriving when the process is asked to stop.
const STOPPING_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of each body that are not reserved in the memory budget.
const UNRESERVED_BODY_BYTES: usize = 8 << 10;
/// Maximum number of bytes that are read of a body that its handler did not read, so that the connection can be used for
/// the next request.
const MAX_DRAINED_BYTES: u64 = 64 << 10;
/// Time limit for reading them.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

/// Body of one request, shared by its reader and the middleware. If it has not been read to its end, the answer keeps it
/// and the connection is closed after the answer, instead of waiting for the rest.
///
/// An unread body must never be dropped before that: actix-http then reads and discards the rest itself, and once its read
/// buffer (128 KiB) is full, nothing wakes the connection's task again, so that the connection and its descriptor leak.
pub(super) struct RequestBody(Rc<Shared>);

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
struct BodyLimits {
    max_bytes: u64,
    /// Time limit for the whole body.
    timeout: Option<Duration>,
    rate_window: Duration,
    /// The bytes are passed on as they arrive; otherwise they are collected, and count in the memory budget.
    is_upload: bool,
}

impl BodyLimits {
    fn of(request: &ServiceRequest, max_upload_bytes: u64) -> Self {
        if !is_upload(request) {
            let timeout = Some(BODY_TIMEOUT);
            let max_bytes = MAX_BODY_BYTES as u64;
            return Self { max_bytes, timeout, rate_window: RATE_WINDOW, is_upload: false };
        }
        // The upload itself has the exact limit, and says so.
        let max_bytes = max_upload_bytes.saturating_mul(FORM_FILES).saturating_add(FORM_OVERHEAD);
        Self { max_bytes, timeout: None, rate_window: UPLOAD_RATE_WINDOW, is_upload: true }
    }
}

/// Tells whether the request brings the bytes of a file.
fn is_upload(request: &ServiceRequest) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let begins = |prefix: &[u8]| {
        content_type
            .and_then(|value| value.get(..prefix.len()))
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    match (request.method(), request.path()) {
        (&Method::POST, "/files" | "/ui/uploads") => begins(b"multipart/form-data"),
        (&Method::POST | &Method::PATCH, path) => {
            (path == "/uploads" || path.starts_with("/uploads/"))
                && begins(b"application/offset+octet-stream")
        }
        _ => false,
    }
}

struct Shared {
    state: Data<AppState>,
    limits: BodyLimits,
    connection: Option<Rc<Activity>>,
    inner: RefCell<Inner>,
    refusal: Cell<Option<Refusal>>,
    /// Bytes reserved in the memory budget.
    reserved: Cell<usize>,
}

struct Inner {
    payload: Payload,
    /// True once the end has been read.
    is_complete: bool,
    /// Bytes left to read, where actix-http does not know the body's end: after a head with `Upgrade`, which is ignored, it
    /// takes everything for the other protocol.
    remaining: Option<u64>,
    received: u64,
    received_in_window: u64,
    started: Instant,
    window_start: Instant,
    /// Time at which the handler was given bytes; until it comes back it is not the client that is slow.
    handed_out: Option<Instant>,
    /// Made when the body has to be waited for: most bodies arrive together with their heads.
    wait: Option<Wait>,
}

struct Wait {
    timer: Pin<Box<Sleep>>,
    /// `None` once the process has been asked to stop.
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// Reason why a body is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    TooLarge,
    TooLate,
    TooSlow,
    NoMemory,
    Stopping,
}

impl RequestBody {
    /// Replaces the request's body by one that obeys the limits. Returns `None` when the request has no body.
    pub fn limit(request: &mut ServiceRequest) -> Result<Option<Self>, Error> {
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            return Ok(None);
        }
        let Some(state) = request.app_data::<Data<AppState>>().cloned() else {
            return Err(Error::internal("the server has no state"));
        };
        let length = content_length(request);
        let remaining = is_taken_for_another_protocol(request).then(|| length.unwrap_or(0));
        let limits = BodyLimits::of(request, state.ctx.uploads.max_size);
        let now = Instant::now();
        let inner = Inner {
            payload,
            is_complete: false,
            remaining,
            received: 0,
            received_in_window: 0,
            started: now,
            window_start: now,
            handed_out: None,
            wait: None,
        };
        let shared = Shared {
            state,
            limits,
            connection: request.request().conn_data::<Rc<Activity>>().cloned(),
            inner: RefCell::new(inner),
            refusal: Cell::new(None),
            reserved: Cell::new(0),
        };
        if let Some(connection) = &shared.connection {
            connection.expect_body(if limits.is_upload {
                MAX_UNREAD_UPLOAD_BYTES
            } else {
                MAX_UNREAD_BODY_BYTES
            });
        }
        let body = Self(Rc::new(shared));
        // Refused by its announced length already: nothing of it is received.
        if length.is_some_and(|length| length > limits.max_bytes) {
            body.0.refusal.set(Some(Refusal::TooLarge));
        }
        // A request with `Upgrade` and without a length has no body, and its handler must not wait for one.
        if remaining != Some(0) {
            let stream: Pin<Box<dyn Stream<Item = _>>> = Box::pin(Reader(Rc::clone(&body.0)));
            request.set_payload(Payload::Stream { payload: stream });
        }
        Ok(Some(body))
    }

    /// Returns the error that answers the request in place of the handler's answer.
    pub fn refusal(&self) -> Option<Error> {
        self.0.refusal.get().map(|refusal| refusal.error(self.0.limits.max_bytes))
    }

    /// Reads and discards the rest of the body within bounds. Returns true when its end has been read.
    pub async fn drain(&self) -> bool {
        let rest = async {
            // The same limits of size, time and rate hold for the rest.
            let mut rest = Reader(Rc::clone(&self.0));
            let mut discarded = 0;
            while let Some(Ok(bytes)) = rest.next().await {
                discarded += bytes.len() as u64;
                if discarded > MAX_DRAINED_BYTES {
                    break;
                }
            }
        };
        let is_complete = || self.0.inner.borrow().is_complete;
        if !is_complete() && self.0.refusal.get().is_none() {
            // An elapsed time limit needs no handling of its own: the body is not complete then.
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, rest).await;
        }
        is_complete()
    }
}

/// Stream that the handler reads.
struct Reader(Rc<Shared>);

impl Stream for Reader {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

impl Drop for Reader {
    /// Releases the memory: the handler has parsed the bytes, or doesn't want them.
    fn drop(&mut self) {
        self.0.state.request_memory.release(self.0.reserved.take());
    }
}

impl Shared {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        // Also when a handler polls again after an error.
        if self.refusal.get().is_some() {
            return Poll::Ready(Some(Err(PayloadError::Incomplete(None))));
        }
        let inner = &mut *self.inner.borrow_mut();
        if inner.is_complete || inner.remaining == Some(0) {
            return Poll::Ready(None);
        }
        // An upload whose store is slow is not polled for a while.
        if let Some(since) = inner.handed_out.take().filter(|_| self.limits.is_upload) {
            inner.window_start += since.elapsed();
        }
        let Poll::Ready(next) = inner.payload.poll_next_unpin(cx) else {
            // actix-http has nothing left, so the connection may receive more. Counting bytes would not tell: chunked framing is
            // received as well, but never handed out.
            if let Some(connection) = &self.connection {
                connection.consume_all();
            }
            // Only a body that has to be waited for is checked against the time limits.
            let refusal = ready!(inner.poll_wait(cx, &self.state, self.limits));
            self.refusal.set(Some(refusal));
            return Poll::Ready(Some(Err(PayloadError::Incomplete(None))));
        };
        match next {
            Some(Ok(mut bytes)) => {
                inner.handed_out = Some(Instant::now());
                if let Some(connection) = &self.connection {
                    connection.consume(bytes.len());
                }
                // What follows the announced length is the next request, which is not answered: the connection is closed.
                if let Some(remaining) = &mut inner.remaining {
                    bytes.truncate(usize::try_from(*remaining).unwrap_or(usize::MAX));
                    *remaining -= bytes.len() as u64;
                }
                let refusal = self.count(inner, bytes.len()).err();
                self.refusal.set(refusal);
                Poll::Ready(Some(if refusal.is_none() { Ok(bytes) } else { Err(PayloadError::Overflow) }))
            }
            None => {
                inner.is_complete = true;
                Poll::Ready(None)
            }
            // Nothing is left to read: actix-http closes the connection after such an error.
            Some(Err(error)) => {
                inner.is_complete = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn count(&self, inner: &mut Inner, bytes: usize) -> Result<(), Refusal> {
        inner.received += bytes as u64;
        inner.received_in_window += bytes as u64;
        // A chunked body announces no length, so its size is only known here.
        if inner.received > self.limits.max_bytes {
            return Err(Refusal::TooLarge);
        }
        if !self.limits.is_upload && inner.received > UNRESERVED_BODY_BYTES as u64 {
            if !self.state.request_memory.try_reserve(bytes) {
                return Err(Refusal::NoMemory);
            }
            self.reserved.set(self.reserved.get() + bytes);
        }
        Ok(())
    }
}

impl Inner {
    /// Is ready when the body must not be waited for any longer.
    fn poll_wait(&mut self, cx: &mut Context<'_>, state: &AppState, limits: BodyLimits) -> Poll<Refusal> {
        let end = limits.timeout.map(|timeout| self.started + timeout);
        let or_end = |time: Instant| end.map_or(time, |end| end.min(time));
        let Wait { timer, stop } = self.wait.get_or_insert_with(|| Wait {
            timer: Box::pin(sleep_until(or_end(self.window_start + limits.rate_window))),
            stop: Some(Box::pin(state.stopping.clone().cancelled_owned())),
        });
        loop {
            if stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
                // A cancelled future must not be polled again, and the shorter limit is set once.
                *stop = None;
                let limit = timer.deadline().min(Instant::now() + STOPPING_TIMEOUT);
                timer.as_mut().reset(limit);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if stop.is_none() {
                return Poll::Ready(Refusal::Stopping);
            }
            if end.is_some_and(|end| now >= end) {
                return Poll::Ready(Refusal::TooLate);
            }
            if now < self.window_start + limits.rate_window {
                timer.as_mut().reset(or_end(self.window_start + limits.rate_window));
                continue;
            }
            if std::mem::take(&mut self.received_in_window) < MIN_BYTES_PER_WINDOW {
                return Poll::Ready(Refusal::TooSlow);
            }
            self.window_start = now;
            timer.as_mut().reset(or_end(now + limits.rate_window));
        }
    }
}

impl Refusal {
    fn error(self, max_bytes: u64) -> Error {
        match self {
            Self::TooLarge => {
                let detail = format!("the body has more than {max_bytes} bytes");
                Error::new(ErrorCode::BodyTooLarge, detail)
            }
            Self::TooLate => {
                let detail = format!("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs());
                Error::new(ErrorCode::RequestTimeout, detail)
            }
            Self::TooSlow => {
                let detail = "less than 1 KiB of the body arrived per second";
                Error::new(ErrorCode::RequestTimeout, detail)
            }
            Self::NoMemory => {
                let detail = "too many large bodies are arriving at once; try again";
                Error::new(ErrorCode::Overloaded, detail)
            }
            Self::Stopping => Error::new(ErrorCode::Stopping, "the server is stopping"),
        }
    }
}

fn content_length(request: &ServiceRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Tells whether actix-http takes everything after the head for another protocol, even where `Content-Length` says how much of
/// it is the body.
fn is_taken_for_another_protocol(request: &ServiceRequest) -> bool {
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        return false;
    }
    let mut upgrades = request.headers().get_all(header::UPGRADE);
    let is_websocket = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
    upgrades.any(is_websocket)
        || request.method() == Method::CONNECT && content_length(request).unwrap_or(0) == 0
}

/// Tells whether the client asks for another protocol. The request is answered as if it didn't; the connection is closed after
/// the answer, because actix-http would answer with `Connection: upgrade` otherwise.
pub(super) fn asks_for_another_protocol(request: &ServiceRequest) -> bool {
    request.request().head().connection_type() == ConnectionType::Upgrade
        || is_taken_for_another_protocol(request)
}
