//! Connections of clients: limits of time and memory that actix-http does not have, enforced below it on the byte stream.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client_errors::ClientErrors;
use super::memory_budget::MemoryBudget;

/// Time limit for the head of a request to arrive. actix-http has the same limit, for a connection's first request only.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit from an answer to the first byte of the next request.
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(75);
/// Time limit for a client to read the answer after which the connection is closed.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Added to the limits that actix-http has as well, so that its own expires first and it can answer 408.
const FRAMEWORK_FIRST: Duration = Duration::from_secs(1);
/// Maximum size of a request's head.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Bytes of each head that are not reserved in the memory budget.
const UNRESERVED_HEAD_BYTES: usize = 8 << 10;
/// Maximum number of bytes passed on to actix-http before it looks for the end of a head. It decodes every request among
/// them at once, and a decoded request takes up to a hundred times its bytes.
const HEAD_READ_BYTES: usize = 512;
/// The same for a head that is longer than that: larger, because actix-http parses a head from its beginning each time.
const LONG_HEAD_READ_BYTES: usize = 2 << 10;
/// Maximum number of bytes of a body that are received before its handler reads them. The kernel keeps the rest, and stops
/// the client when its own buffer is full.
pub(super) const MAX_UNREAD_BODY_BYTES: usize = 8 << 10;
/// Bytes of answers that the kernel takes beyond what fits into the client's receive window.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 128 << 10;
/// Maximum number of bytes received and discarded at a time while the connection is closing.
const CLOSING_READ_BYTES: usize = 8 << 10;
/// While bytes wait to be written, `MIN_WRITTEN_PER_WINDOW` of them must go out in each window of this length.
const WRITE_WINDOW: Duration = Duration::from_secs(10);
const MIN_WRITTEN_PER_WINDOW: usize = 32 << 10;
/// Window instead of `WRITE_WINDOW` while the process is stopping, or when unread answers take too much memory.
const PRESSED_WRITE_WINDOW: Duration = Duration::from_secs(2);
/// Time between two checks of a connection for which no time limit is running.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Limits and counters that all connections of the process share.
#[derive(Clone)]
pub(super) struct Limits {
    pub request_memory: Arc<MemoryBudget>,
    pub response_memory: Arc<MemoryBudget>,
    pub client_errors: Arc<ClientErrors>,
    pub stopping: CancellationToken,
}

/// Phase of a connection, by what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The head of the next request.
    Head { waiting_since: Instant, first_byte_at: Option<Instant> },
    /// The answer, which may include the arrival of the request's body.
    Answer,
    /// The client reads the last answer and closes the connection.
    Close { since: Instant },
}

/// State of one connection. The middleware reports where a request begins and where its answer ends.
pub(super) struct Activity {
    phase: Cell<Phase>,
    /// Bytes of the incomplete head.
    head_bytes: Cell<usize>,
    /// Bytes of the head that are reserved in the memory budget.
    reserved: Cell<usize>,
    /// Bytes received while requests are answered, less those of a body that were read.
    unread: Cell<usize>,
    /// Bytes of the request's body that may be received before the handler reads them; 0 if it has none.
    max_unread: Cell<usize>,
    /// Waker of the connection's task, which receives nothing until the handler has read what arrived.
    paused: Cell<Option<Waker>>,
    limits: Limits,
}

impl Activity {
    fn new(limits: Limits) -> Self {
        let phase = Phase::Head { waiting_since: Instant::now(), first_byte_at: None };
        Self {
            phase: Cell::new(phase),
            head_bytes: Cell::new(0),
            reserved: Cell::new(0),
            unread: Cell::new(0),
            max_unread: Cell::new(0),
            paused: Cell::new(None),
            limits,
        }
    }

    /// Reports that the head of a request is complete.
    pub fn begin_request(&self) {
        self.phase.set(Phase::Answer);
        self.head_bytes.set(0);
        self.limits.request_memory.release(self.reserved.take());
        self.max_unread.set(0);
    }

    /// Reports that the request has a body, of which so many bytes may be received before the handler reads them.
    pub fn expect_body(&self, max_unread: usize) {
        self.max_unread.set(max_unread);
    }

    /// Reports that the handler has read bytes of the request's body.
    pub fn consume(&self, bytes: usize) {
        self.unread.set(self.unread.get().saturating_sub(bytes));
        self.resume();
    }

    /// Reports that the handler has read all bytes of the body that have been received.
    pub fn consume_all(&self) {
        self.unread.set(0);
        self.resume();
    }

    /// Returns how many bytes may be received now, after `passed` bytes were passed on to actix-http in a row.
    fn receive_limit(&self, passed: usize) -> usize {
        let unread = self.unread.get();
        match self.phase.get() {
            Phase::Answer if self.max_unread.get() > 0 => self.max_unread.get().saturating_sub(unread),
            // Pipelined requests wait in the kernel. One byte is received all the same: only a read tells that the client
            // has closed the connection.
            Phase::Answer => usize::from(unread == 0),
            Phase::Head { .. } if self.head_bytes.get() > passed => {
                LONG_HEAD_READ_BYTES.saturating_sub(passed)
            }
            Phase::Head { .. } => HEAD_READ_BYTES.saturating_sub(passed),
            Phase::Close { .. } => CLOSING_READ_BYTES.saturating_sub(passed),
        }
    }

    /// Stops receiving until the handler has read what arrived. Between requests it only lets actix-http parse what it has,
    /// and is polled again at once.
    fn pause(&self, cx: &Context<'_>) {
        if self.phase.get() == Phase::Answer {
            self.paused.set(Some(cx.waker().clone()));
        } else {
            cx.waker().wake_by_ref();
        }
    }

    fn resume(&self) {
        if let Some(task) = self.paused.take() {
            task.wake();
        }
    }

    /// Reports that the last byte of the answer is in the connection's write buffer.
    pub fn end_request(&self, is_closing: bool) {
        let now = Instant::now();
        // A pipelined request: its first byte was received while the one before was answered. After a body the count says
        // nothing, because it includes the body's framing.
        let has_begun = self.max_unread.get() == 0 && self.unread.get() > 0;
        let next = Phase::Head { waiting_since: now, first_byte_at: has_begun.then_some(now) };
        self.phase.set(if is_closing { Phase::Close { since: now } } else { next });
        self.resume();
    }

    fn count_received(&self, bytes: usize) {
        match self.phase.get() {
            Phase::Head { waiting_since, first_byte_at } => {
                self.unread.set(0);
                let first_byte_at = first_byte_at.or_else(|| Some(Instant::now()));
                self.phase.set(Phase::Head { waiting_since, first_byte_at });
                self.head_bytes.set(self.head_bytes.get() + bytes);
            }
            Phase::Answer => self.unread.set(self.unread.get() + bytes),
            Phase::Close { .. } => {}
        }
    }

    /// Enforces the limits of a head's size. Called after actix-http has looked for the head's end: `begin_request` has set
    /// the size of a complete head back to zero by then.
    fn check_head(&self) -> io::Result<()> {
        let wanted = self.head_bytes.get().saturating_sub(UNRESERVED_HEAD_BYTES);
        let more = wanted.saturating_sub(self.reserved.get());
        if more == 0 {
            return Ok(());
        }
        if self.head_bytes.get() > MAX_HEAD_BYTES || !self.limits.request_memory.try_reserve(more) {
            return Err(self.cut("the head of a request takes too much memory"));
        }
        self.reserved.set(wanted);
        Ok(())
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns when the client must have done its part. `None`: nothing is expected of it.
    fn deadline(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Head { waiting_since, first_byte_at: None } => {
                Some(waiting_since + KEEP_ALIVE_TIMEOUT + FRAMEWORK_FIRST)
            }
            Phase::Head { first_byte_at: Some(first), .. } => Some(first + HEAD_TIMEOUT + FRAMEWORK_FIRST),
            // Body and answer have time limits of their own: `middleware::request_body` and `Connection::deadline`.
            Phase::Answer => None,
            Phase::Close { since } => Some(since + CLOSE_TIMEOUT + FRAMEWORK_FIRST),
        }
    }

    /// Counts and logs that the connection is ended, and returns the error that makes actix-http drop it.
    fn cut(&self, reason: &'static str) -> io::Error {
        self.limits.client_errors.count_cut();
        log::debug!(reason; "connection closed because of its client");
        io::Error::new(io::ErrorKind::TimedOut, reason)
    }
}

impl Drop for Activity {
    /// Releases the memory of a head that never became a request, and counts it.
    fn drop(&mut self) {
        self.limits.request_memory.release(self.reserved.take());
        if self.head_bytes.get() > 0 {
            self.limits.client_errors.count_malformed();
        }
    }
}

/// Window in which bytes wait to be written.
struct BlockedWrite {
    window_start: Instant,
    written: usize,
}

/// TCP stream of a client. It fails when the client keeps the server waiting for too long, whereupon actix-http drops the
/// connection.
pub(super) struct Connection {
    stream: TcpStream,
    activity: Rc<Activity>,
    /// Set while the kernel takes no more bytes.
    blocked: Option<BlockedWrite>,
    /// Bytes passed on to actix-http since a read last had nothing, or was not allowed to receive anything.
    passed: usize,
    /// Expires at the deadline or earlier. It is reset to an earlier time only: most polls leave it alone, because resetting
    /// a timer takes a lock.
    timer: Pin<Box<Sleep>>,
}

impl Connection {
    pub fn new(stream: TcpStream, limits: Limits) -> Self {
        let activity = Rc::new(Activity::new(limits));
        // Bytes that a client does not read are kept here, where the memory budget counts them, rather than in the kernel's
        // send buffer. Where the option is not supported, a client that does not read is only noticed later.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
        let timer = Box::pin(sleep_until(Instant::now() + CHECK_INTERVAL));
        Self { stream, activity, blocked: None, passed: 0, timer }
    }

    pub fn activity(&self) -> Rc<Activity> {
        Rc::clone(&self.activity)
    }

    /// Returns the end of the write window or the client's deadline, whichever comes first.
    fn deadline(&self) -> Option<Instant> {
        let write = self.blocked.as_ref().map(|blocked| {
            let window = if self.is_pressed() { PRESSED_WRITE_WINDOW } else { WRITE_WINDOW };
            blocked.window_start + window
        });
        match (write, self.activity.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (deadline, None) | (None, deadline) => deadline,
        }
    }

    /// Tells whether clients that don't read must be dropped sooner, for lack of time or of memory.
    fn is_pressed(&self) -> bool {
        let limits = &self.activity.limits;
        limits.stopping.is_cancelled() || limits.response_memory.is_nearly_exhausted()
    }

    /// Fails once the client is past its deadline; otherwise wakes the task before it. Called wherever a poll waits for the
    /// client.
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let deadline = self.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                match &mut self.blocked {
                    Some(blocked) if blocked.written >= MIN_WRITTEN_PER_WINDOW => {
                        *blocked = BlockedWrite { window_start: now, written: 0 };
                        continue;
                    }
                    _ => return Err(self.cut()),
                }
            }
            // The window gets shorter without a wake-up when the process begins to stop or memory runs out, so a blocked
            // write is looked at again within the shorter one.
            let longest = if self.blocked.is_some() { PRESSED_WRITE_WINDOW } else { CHECK_INTERVAL };
            let next = deadline.unwrap_or(now + longest).min(now + longest);
            if next < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(next);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
        }
    }

    fn cut(&self) -> io::Error {
        // A reset instead of an orderly close: the kernel would keep unsent bytes for a client that does not read. Where it
        // fails, the connection ends all the same, only later.
        let _ = self.stream.set_zero_linger();
        self.activity.cut("the client kept the connection waiting")
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let limit = self.activity.receive_limit(self.passed).min(buffer.remaining());
        if limit == 0 {
            self.passed = 0;
            // `Pending` without a waker of the socket: the activity wakes the task.
            self.activity.pause(cx);
            return self.check_deadline(cx).map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending);
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(limit));
        match Pin::new(&mut self.stream).poll_read(cx, &mut part) {
            Poll::Pending => {
                self.passed = 0;
                self.check_deadline(cx).map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
            }
            ready @ Poll::Ready(_) => {
                let received = part.filled().len();
                buffer.advance(received);
                self.passed += received;
                self.activity.count_received(received);
                ready
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            // The kernel's send buffer is full: the client does not read, or reads slowly.
            Poll::Pending => {
                self.blocked.get_or_insert_with(|| BlockedWrite { window_start: Instant::now(), written: 0 });
                self.check_deadline(cx).map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
            }
            Poll::Ready(Ok(written)) => {
                // Only a write that leaves nothing behind ends the window: a client that reads a few bytes now and then stays in it.
                if written == bytes.len() {
                    self.blocked = None;
                } else if let Some(blocked) = &mut self.blocked {
                    blocked.written += written;
                }
                Poll::Ready(Ok(written))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // actix-http flushes after it has parsed what was received, so this is the place to check the head.
        self.activity.check_head()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
