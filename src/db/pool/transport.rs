//! The stream of a connection to PostgreSQL, and what the server says on it that the driver keeps to itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::db::sqlstate::SqlState;

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

pub(in crate::db) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Encrypted>),
}

/// Last error and process id that the server has sent on one connection.
#[derive(Debug, Default)]
pub(in crate::db) struct ServerMessages {
    /// The SQLSTATE of the last error, zero when it was taken.
    error: AtomicU64,
    process: AtomicI32,
}

impl ServerMessages {
    /// Diesel gives an error's text, in the server's language, and not its SQLSTATE.
    pub fn take_error(&self) -> Option<SqlState> {
        let bytes = self.error.swap(0, Ordering::AcqRel).to_be_bytes();
        bytes[3..].try_into().ok().map(SqlState).filter(|state| state.0 != [0; 5])
    }

    fn note_error(&self, state: SqlState) {
        let mut bytes = [0; 8];
        bytes[3..].copy_from_slice(&state.0);
        self.error.store(u64::from_be_bytes(bytes), Ordering::Release);
    }

    /// Process id that the server reports. A pooler reports a number of its own.
    pub fn process(&self) -> i32 {
        self.process.load(Ordering::Acquire)
    }
}

/// A transport that notes errors on their way to the driver.
pub(in crate::db) struct ObservedStream {
    inner: Transport,
    scanner: Scanner,
    messages: Arc<ServerMessages>,
}

impl ObservedStream {
    /// Wraps a transport and notes what the server sends on it.
    pub fn new(inner: Transport, messages: Arc<ServerMessages>) -> Self {
        Self { inner, scanner: Scanner::default(), messages }
    }
}

/// Splits what a server sends into messages: a byte for the type, the length of the rest, the rest.
#[derive(Default)]
struct Scanner {
    header: [u8; 5],
    header_length: usize,
    body_left: usize,
    /// The beginning of a body that is of interest.
    body: Vec<u8>,
}

/// Severity and SQLSTATE are an error's first fields.
const MAX_BODY: usize = 128;
const ERROR: u8 = b'E';
const KEY_DATA: u8 = b'K';

impl Scanner {
    fn scan(&mut self, mut bytes: &[u8], messages: &ServerMessages) {
        while !bytes.is_empty() {
            if self.header_length < self.header.len() {
                let count = bytes.len().min(self.header.len() - self.header_length);
                let (now, rest) = bytes.split_at(count);
                self.header[self.header_length..][..count].copy_from_slice(now);
                self.header_length += count;
                bytes = rest;
                if self.header_length < self.header.len() {
                    return;
                }
                let [_, length @ ..] = self.header;
                // The length counts itself.
                self.body_left =
                    usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX).saturating_sub(4);
            }
            let (now, rest) = bytes.split_at(self.body_left.min(bytes.len()));
            if matches!(self.header[0], ERROR | KEY_DATA) {
                self.body.extend(now.iter().take(MAX_BODY - self.body.len()));
            }
            self.body_left -= now.len();
            bytes = rest;
            if self.body_left == 0 {
                self.end_message(messages);
            }
        }
    }

    fn end_message(&mut self, messages: &ServerMessages) {
        self.header_length = 0;
        match self.header[0] {
            ERROR => messages.note_error(sqlstate_of(&self.body)),
            KEY_DATA => {
                let process = self.body.first_chunk().map_or(0, |bytes| i32::from_be_bytes(*bytes));
                messages.process.store(process, Ordering::Release);
            }
            _ => {}
        }
        self.body.clear();
    }
}

/// Reads the fields of an error: each is a byte for the type and a text that ends with a zero byte.
fn sqlstate_of(body: &[u8]) -> SqlState {
    let field = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"));
    SqlState(field.and_then(|code| code.try_into().ok()).unwrap_or(SqlState::UNKNOWN.0))
}

macro_rules! on_inner {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.inner {
            Transport::Tcp($stream) => $call,
            Transport::Unix($stream) => $call,
            Transport::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for ObservedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = on_inner!(this, stream => Pin::new(stream).poll_read(cx, buf));
        this.scanner.scan(&buf.filled()[before..], &this.messages);
        read
    }
}

impl AsyncWrite for ObservedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        on_inner!(this, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        on_inner!(this, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        on_inner!(this, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl TlsStream for ObservedStream {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.inner {
            Transport::Tls(stream) => stream.channel_binding(),
            Transport::Tcp(_) | Transport::Unix(_) => ChannelBinding::none(),
        }
    }
}

/// Tells the driver that encryption has been taken care of.
pub(in crate::db) struct AlreadyEncrypted;

impl TlsConnect<ObservedStream> for AlreadyEncrypted {
    type Stream = ObservedStream;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<ObservedStream>>;

    fn connect(self, stream: ObservedStream) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    #[test]
    fn the_last_error_is_noted_however_the_bytes_come() {
        let bytes = [
            message(KEY_DATA, &[0, 0, 1, 2, 9, 9, 9, 9]),
            message(b'Z', b"I"),
            message(b'D', &[b'C'; 3000]),
            message(ERROR, b"SFEHLER\0VERROR\0C42P01\0Mgibt es nicht\0\0"),
            message(b'N', b"SNOTICE\0C00000\0\0"),
            message(b's', b""),
            message(b'Z', b"E"),
        ]
        .concat();
        for size in [1, 2, 3, 7, 64, bytes.len()] {
            let (mut scanner, messages) = (Scanner::default(), ServerMessages::default());
            for piece in bytes.chunks(size) {
                scanner.scan(piece, &messages);
            }
            assert_eq!(messages.process(), 258);
            assert_eq!(messages.take_error(), Some(SqlState(*b"42P01")), "{size}");
            assert_eq!(messages.take_error(), None);
        }
    }

    #[test]
    fn an_error_without_a_state_is_unknown() {
        let messages = ServerMessages::default();
        Scanner::default().scan(&message(ERROR, b"SERROR\0\0"), &messages);
        assert_eq!(messages.take_error(), Some(SqlState::UNKNOWN));
    }
}
