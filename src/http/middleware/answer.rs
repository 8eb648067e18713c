//! The body of every answer as it goes out: in small pieces, so that a connection holds little memory whoever reads it, and
//! framed as the client's version of HTTP has it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, Version};
use bytes::Bytes;

use super::body::Body;
use crate::domain::{Error, ErrorKind};
use crate::http::budget::Share;
use crate::http::connection::Activity;

const OVERLOADED: &str = "too many large answers are not read by their clients; try again";

/// Bytes copied into a connection's buffer at a time. The rest stays in the one copy that all answers with these bytes share.
const PIECE: usize = 32 << 10;

/// An answer's body, and the request's for as long as the answer takes, if nobody has read that to its end.
pub(in crate::http) struct Answer {
    body: BoxBody,
    rest: Bytes,
    /// What `rest` takes of the process's budget, where it is large.
    share: Option<Share>,
    _unread: Option<Body>,
    turn: Turn,
}

/// Turn of one request on its connection, from its head to the last byte of its answer.
pub(super) struct Turn {
    connection: Option<Rc<Activity>>,
    is_last: bool,
}

impl Turn {
    pub fn begin(request: &ServiceRequest) -> Self {
        let connection = request.request().conn_data::<Rc<Activity>>().cloned();
        if let Some(connection) = &connection {
            connection.begin();
        }
        Self { connection, is_last: false }
    }

    /// `None` when clients that don't read have taken all the memory that there is for answers.
    fn share(&self, bytes: usize) -> Option<Share> {
        let connection = self.connection.as_ref()?;
        Share::take(&connection.limits().output, bytes)
    }

    /// An error when a large answer is at hand and there is no memory for one.
    pub fn hold(
        &self,
        response: ServiceResponse<BoxBody>,
    ) -> (ServiceResponse<BoxBody>, Result<Option<Share>, Error>) {
        let mut held = Ok(None);
        if !matches!(response.response().body().size(), BodySize::Sized(size) if size > PIECE as u64) {
            return (response, held);
        }
        let response = response.map_body(|_, body| match body.try_into_bytes() {
            Ok(bytes) => {
                let overloaded = || Error::new(ErrorKind::Unavailable, "overloaded", OVERLOADED);
                held = self.share(bytes.len()).map(Some).ok_or_else(overloaded);
                BoxBody::new(bytes)
            }
            // A download, of which a piece is there at a time.
            Err(stream) => stream,
        });
        (response, held)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.end(self.is_last);
        }
    }
}

impl MessageBody for Answer {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(bytes)) => {
                    if bytes.len() > PIECE && self.share.is_none() {
                        self.share = Some(self.turn.share(bytes.len()).ok_or(OVERLOADED)?);
                    }
                    self.rest = bytes;
                }
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}

/// Closes the connection after an answer where it can't go on: behind a request body that nobody read, or when the end
/// of the connection is the end of the answer.
pub(super) fn framed(
    mut response: ServiceResponse<BoxBody>,
    unread: Option<Body>,
    must_close: bool,
    mut turn: Turn,
    share: Option<Share>,
) -> ServiceResponse<Answer> {
    let is_chunked = response.response().body().size() == BodySize::Stream;
    let knows_chunks = response.request().version() > Version::HTTP_10;
    if unread.is_some() || must_close || is_chunked && !knows_chunks {
        turn.is_last = true;
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
        // Where the server does not send chunks, it must not announce them.
        if is_chunked && (must_close || !knows_chunks) {
            head.no_chunking(true);
        }
    }
    response.map_body(|_, body| Answer { body, rest: Bytes::new(), share, _unread: unread, turn })
}
