//! Bodies of answers: sent in small chunks, so that a connection holds little memory whether its client reads or not, and
//! framed as the client's version of HTTP allows.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, Version};
use bytes::Bytes;

use super::request_body::RequestBody;
use crate::domain::{Error, ErrorCode};
use crate::http::connection::Activity;
use crate::http::memory_budget::Reservation;

const OVERLOADED: &str = "too many large answers are not read by their clients; try again";

/// Maximum number of bytes that are copied into a connection's write buffer at a time. The rest stays in the one copy that all
/// answers with these bytes share.
const CHUNK_BYTES: usize = 32 << 10;

/// Body of an answer, with all that must live until its last byte is sent.
pub(in crate::http) struct ResponseBody {
    body: BoxBody,
    rest: Bytes,
    /// Memory of `rest`, if it is large.
    reservation: Option<Reservation>,
    /// Body of the request, if it has not been read to its end: see [`RequestBody`].
    _unread: Option<RequestBody>,
    exchange: Exchange,
}

/// Request and its answer on a connection: from the end of the request's head to the last byte of the answer.
pub(super) struct Exchange {
    connection: Option<Rc<Activity>>,
    is_last: bool,
}

impl Exchange {
    /// Reports to the connection that a request begins.
    pub fn begin(request: &ServiceRequest) -> Self {
        let connection = request.request().conn_data::<Rc<Activity>>().cloned();
        if let Some(connection) = &connection {
            connection.begin_request();
        }
        Self { connection, is_last: false }
    }

    /// Returns `None` when answers that clients have not read yet take all the memory that there is for them.
    fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let connection = self.connection.as_ref()?;
        Reservation::try_new(&connection.limits().response_memory, bytes)
    }

    /// Reserves memory for a large answer. The error answers the request in its place when there is none.
    pub fn reserve_memory(
        &self,
        response: ServiceResponse<BoxBody>,
    ) -> (ServiceResponse<BoxBody>, Result<Option<Reservation>, Error>) {
        let mut reserved = Ok(None);
        // What small answers take together is bounded by the number of connections.
        if !matches!(response.response().body().size(), BodySize::Sized(size) if size > CHUNK_BYTES as u64) {
            return (response, reserved);
        }
        let response = response.map_body(|_, body| match body.try_into_bytes() {
            Ok(bytes) => {
                let overloaded = || Error::new(ErrorCode::Overloaded, OVERLOADED);
                reserved = self.reserve(bytes.len()).map(Some).ok_or_else(overloaded);
                BoxBody::new(bytes)
            }
            // A download, which holds one chunk at a time.
            Err(stream) => stream,
        });
        (response, reserved)
    }
}

impl Drop for Exchange {
    /// Reports the end of the exchange. The body is dropped when its last byte is in the write buffer, or with the connection.
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.end_request(self.is_last);
        }
    }
}

impl MessageBody for ResponseBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(bytes)) => {
                    // Only now is the size of a compressed answer known.
                    if bytes.len() > CHUNK_BYTES && self.reservation.is_none() {
                        self.reservation = Some(self.exchange.reserve(bytes.len()).ok_or(OVERLOADED)?);
                    }
                    self.rest = bytes;
                }
                end => return Poll::Ready(end),
            }
        }
        // actix-http copies each chunk into its write buffer and asks for the next one only when there is room again. The rest is
        // a reference to the shared bytes.
        let length = self.rest.len().min(CHUNK_BYTES);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}

/// Decides how the end of the answer is marked, and closes the connection after it where the connection can't be used again:
/// after a request body that was not read to its end, and when only the end of the connection marks the end of the answer.
pub(super) fn frame(
    mut response: ServiceResponse<BoxBody>,
    unread: Option<RequestBody>,
    must_close: bool,
    mut exchange: Exchange,
    reservation: Option<Reservation>,
) -> ServiceResponse<ResponseBody> {
    let is_chunked = response.response().body().size() == BodySize::Stream;
    let knows_chunks = response.request().version() > Version::HTTP_10;
    if unread.is_some() || must_close || is_chunked && !knows_chunks {
        exchange.is_last = true;
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
        // actix-http sends no chunks then, and must not announce them either.
        if is_chunked && (must_close || !knows_chunks) {
            head.no_chunking(true);
        }
    }
    response.map_body(|_, body| ResponseBody {
        body,
        rest: Bytes::new(),
        reservation,
        _unread: unread,
        exchange,
    })
}
