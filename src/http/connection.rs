//! Connections of clients: what actix-http does not limit is limited here, below it, where every byte passes.

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

use super::budget::Budget;
use super::tally::Tally;

/// Time that the head of a request has to arrive. actix-http has the same limit, but for a connection's first request only.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);
/// From an answer to the next request.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// After an answer that closes the connection, for the client to read it.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// Added to limits that actix-http also has: it goes first and answers.
const LATER: Duration = Duration::from_secs(1);
const HEAD_LIMIT: usize = 64 << 10;
/// Bytes of a head that are not counted against the process's budget.
const FREE: usize = 8 << 10;
/// Bytes handed to actix-http before it looks for the end of a head: it decodes all requests among them at once, and a
/// decoded request takes up to a hundred times its bytes.
const HEAD_STEP: usize = 512;
/// The same once a head is known to be longer: it is looked at from its beginning each time.
const LONG_HEAD_STEP: usize = 2 << 10;
/// Bytes of a request's body that are received before anybody reads them. More wait in the kernel, which stops the client.
const MAX_UNREAD_BODY: usize = 8 << 10;
/// Bytes of answers that the kernel takes before the client's side has room for them.
#[cfg(target_os = "linux")]
const UNSENT_LIMIT: u32 = 128 << 10;
/// Bytes received and dropped at a time once the connection is closing.
const CLOSING_STEP: usize = 8 << 10;
/// A client that does not read: as long as bytes wait to be written, this many must go out in each window.
const WRITE_WINDOW: Duration = Duration::from_secs(10);
const MIN_WRITTEN: usize = 32 << 10;
/// The same once the process is asked to stop, or answers that nobody reads take too much memory.
const GRACE: Duration = Duration::from_secs(2);
/// Between two looks at a connection of which nothing is expected.
const TICK: Duration = Duration::from_secs(10);

/// What all connections of the process share.
#[derive(Clone)]
pub(super) struct Limits {
    pub input: Arc<Budget>,
    pub output: Arc<Budget>,
    pub tally: Arc<Tally>,
    pub stopping: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Since then, or since the first byte of the head.
    Waiting(Instant, Option<Instant>),
    Answering,
    Closing(Instant),
}

/// What a connection is doing; the middleware says where a request begins and where its answer ends.
pub(super) struct Activity {
    phase: Cell<Phase>,
    /// Bytes of a head that is not complete, and how many of them were taken of the budget.
    head: Cell<usize>,
    taken: Cell<usize>,
    /// Bytes received while requests are answered, less those of a body that were read.
    unread: Cell<usize>,
    /// The request has a body, which may be received while it is answered.
    has_body: Cell<bool>,
    /// The connection's task, where it receives nothing until they are read.
    paused: Cell<Option<Waker>>,
    limits: Limits,
}

impl Activity {
    fn new(limits: Limits) -> Self {
        let phase = Cell::new(Phase::Waiting(Instant::now(), None));
        Self {
            phase,
            head: Cell::new(0),
            taken: Cell::new(0),
            unread: Cell::new(0),
            has_body: Cell::new(false),
            paused: Cell::new(None),
            limits,
        }
    }

    /// The head of a request is complete.
    pub fn begin(&self) {
        self.phase.set(Phase::Answering);
        self.head.set(0);
        self.limits.input.give_back(self.taken.take());
        self.has_body.set(false);
    }

    pub fn begin_body(&self) {
        self.has_body.set(true);
    }

    /// Notes that bytes of the request's body have been read.
    pub fn consumed(&self, bytes: usize) {
        self.unread.set(self.unread.get().saturating_sub(bytes));
        self.resume();
    }

    /// Notes that all that was received of the body has been read.
    pub fn all_consumed(&self) {
        self.unread.set(0);
        self.resume();
    }

    /// Returns how many bytes may be received now. Nothing is decoded that has not been answered while a request is waited for.
    fn allowance(&self, passed: usize) -> usize {
        let unread = self.unread.get();
        match self.phase.get() {
            Phase::Answering if self.has_body.get() => MAX_UNREAD_BODY.saturating_sub(unread),
            // One byte tells whether the client is still there.
            Phase::Answering => usize::from(unread == 0),
            Phase::Waiting(..) if self.head.get() > passed => LONG_HEAD_STEP.saturating_sub(passed),
            Phase::Waiting(..) => HEAD_STEP.saturating_sub(passed),
            Phase::Closing(_) => CLOSING_STEP.saturating_sub(passed),
        }
    }

    /// Receives nothing for now: until something is read, or so that actix-http looks at what it has.
    fn pause(&self, cx: &Context<'_>) {
        if self.phase.get() == Phase::Answering {
            self.paused.set(Some(cx.waker().clone()));
        } else {
            cx.waker().wake_by_ref();
        }
    }

    fn resume(&self) {
        if let Some(waiting) = self.paused.take() {
            waiting.wake();
        }
    }

    /// The last byte of the answer is in the connection's buffer.
    pub fn end(&self, is_closing: bool) {
        let now = Instant::now();
        // The next head may have begun to arrive meanwhile. Behind a body it can't be told: its framing is counted, too.
        let has_begun = !self.has_body.get() && self.unread.get() > 0;
        let waiting = Phase::Waiting(now, has_begun.then_some(now));
        self.phase.set(if is_closing { Phase::Closing(now) } else { waiting });
        self.resume();
    }

    fn received(&self, bytes: usize) {
        match self.phase.get() {
            Phase::Waiting(since, first) => {
                self.unread.set(0);
                self.phase.set(Phase::Waiting(since, first.or_else(|| Some(Instant::now()))));
                self.head.set(self.head.get() + bytes);
            }
            Phase::Answering => self.unread.set(self.unread.get() + bytes),
            Phase::Closing(_) => {}
        }
    }

    /// Judges the head's size once the dispatcher has looked for its end.
    fn check_head(&self) -> io::Result<()> {
        let counted = self.head.get().saturating_sub(FREE);
        let more = counted.saturating_sub(self.taken.get());
        if more == 0 {
            return Ok(());
        }
        if self.head.get() > HEAD_LIMIT || !self.limits.input.take(more) {
            return Err(self.cut("the head of a request takes too much memory"));
        }
        self.taken.set(counted);
        Ok(())
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// When the client must have done what is expected of it.
    fn due(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Waiting(since, None) => Some(since + KEEP_ALIVE + LATER),
            Phase::Waiting(_, Some(first)) => Some(first + HEAD_TIME + LATER),
            Phase::Answering => None,
            Phase::Closing(since) => Some(since + LINGER + LATER),
        }
    }

    fn cut(&self, why: &'static str) -> io::Error {
        self.limits.tally.cut();
        log::debug!(why; "connection cut");
        io::Error::new(io::ErrorKind::TimedOut, why)
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.limits.input.give_back(self.taken.take());
        if self.head.get() > 0 {
            self.limits.tally.no_request();
        }
    }
}

/// Bytes are waiting to be written.
struct Blocked {
    since: Instant,
    written: usize,
}

/// A client's TCP stream that fails when the client keeps it waiting. actix-http drops the connection then.
pub(super) struct Connection {
    stream: TcpStream,
    activity: Rc<Activity>,
    blocked: Option<Blocked>,
    /// Bytes received since nothing was there, or was to be received.
    passed: usize,
    /// Never set to later than the client's time is up: most polls leave it as it is.
    timer: Pin<Box<Sleep>>,
}

impl Connection {
    pub fn new(stream: TcpStream, limits: Limits) -> Self {
        let activity = Rc::new(Activity::new(limits));
        // What a client does not read is better kept here, where it is counted, than in the kernel. It would only take longer.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_LIMIT);
        let timer = Box::pin(sleep_until(Instant::now() + TICK));
        Self { stream, activity, blocked: None, passed: 0, timer }
    }

    pub fn activity(&self) -> Rc<Activity> {
        Rc::clone(&self.activity)
    }

    fn due(&self) -> Option<Instant> {
        let blocked = self.blocked.as_ref().map(|blocked| {
            let limit = if self.is_pressed() { GRACE } else { WRITE_WINDOW };
            blocked.since + limit
        });
        match (blocked, self.activity.due()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (due, None) | (None, due) => due,
        }
    }

    /// No time, or no memory, is left for clients that don't read.
    fn is_pressed(&self) -> bool {
        let limits = &self.activity.limits;
        limits.stopping.is_cancelled() || limits.output.is_short()
    }

    /// Called wherever the client is waited for; fails when it has been for too long.
    fn check_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let due = self.due();
            if due.is_some_and(|due| due <= now) {
                match &mut self.blocked {
                    Some(blocked) if blocked.written >= MIN_WRITTEN => {
                        *blocked = Blocked { since: now, written: 0 };
                        continue;
                    }
                    _ => return Err(self.cut()),
                }
            }
            let longest = if self.blocked.is_some() { GRACE } else { TICK };
            let next = due.unwrap_or(now + longest).min(now + longest);
            if next < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(next);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
        }
    }

    /// What is still unsent must not stay in the kernel for a client that does not read.
    fn cut(&self) -> io::Error {
        // Without it the connection ends as well, only later.
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
        let allowance = self.activity.allowance(self.passed).min(buffer.remaining());
        if allowance == 0 {
            self.passed = 0;
            self.activity.pause(cx);
            return self.check_time(cx).map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending);
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(allowance));
        match Pin::new(&mut self.stream).poll_read(cx, &mut part) {
            Poll::Pending => {
                self.passed = 0;
                self.check_time(cx).map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
            }
            ready @ Poll::Ready(_) => {
                let received = part.filled().len();
                buffer.advance(received);
                self.passed += received;
                self.activity.received(received);
                ready
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => {
                self.blocked.get_or_insert_with(|| Blocked { since: Instant::now(), written: 0 });
                self.check_time(cx).map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
            }
            Poll::Ready(Ok(written)) => {
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

    /// Follows every look at what was received, and every write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.check_head()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
