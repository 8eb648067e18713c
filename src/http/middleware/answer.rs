//! The body of every answer as it goes out: in small pieces, so that a connection holds little memory whoever reads it, and
//! framed as the client's version of HTTP has it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::{ConnectionType, Version};
use bytes::Bytes;

use super::body::Body;

/// Bytes copied into a connection's buffer at a time. The rest stays in the one copy that all answers with these bytes share.
const PIECE: usize = 32 << 10;

/// An answer's body, and the request's for as long as the answer takes, if nobody has read that to its end.
pub(in crate::http) struct Answer {
    body: BoxBody,
    rest: Bytes,
    _unread: Option<Body>,
}

impl MessageBody for Answer {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(bytes)) => self.rest = bytes,
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
) -> ServiceResponse<Answer> {
    let is_chunked = response.response().body().size() == BodySize::Stream;
    let knows_chunks = response.request().version() > Version::HTTP_10;
    if unread.is_some() || must_close || is_chunked && !knows_chunks {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
        // Where the server does not send chunks, it must not announce them.
        if is_chunked && (must_close || !knows_chunks) {
            head.no_chunking(true);
        }
    }
    response.map_body(|_, body| Answer { body, rest: Bytes::new(), _unread: unread })
}
