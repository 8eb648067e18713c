//! Request bodies: JSON and forms, both in UTF-8, with or without a byte order mark in front.

use std::ops::Deref;

use actix_http::encoding::Decoder;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError};
use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt};
use serde::de::DeserializeOwned;

use super::{BODY_LIMIT, query};
use crate::domain::{Error, ErrorKind};
use crate::http::error::{HttpError, of_status};

/// A JSON body; whatever its content type says besides JSON in UTF-8 is refused.
pub(super) fn json<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> LocalBoxFuture<'static, Result<T, HttpError>> {
    let is_json = has_media_type(request, |essence| {
        essence == "application/json" || essence.ends_with("+json") || essence.ends_with("/json")
    });
    let body = read(request, payload);
    async move {
        if !is_json {
            let detail = "the body must be JSON in UTF-8, with Content-Type: application/json";
            return Err(unsupported(detail).into());
        }
        let body = body.await?;
        serde_json::from_slice(without_mark(&body)).map_err(|error| {
            let detail = format!("the body is not a JSON object we can read: {error}");
            HttpError(Error::new(ErrorKind::Malformed, "malformed_json", detail))
        })
    }
    .boxed_local()
}

/// The body of a page's form.
pub(in crate::http) struct Form<T>(T);

impl<T> Form<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Form<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Form<T> {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_form = has_media_type(request, |essence| essence == "application/x-www-form-urlencoded");
        let body = read(request, payload);
        async move {
            if !is_form {
                let detail = "a form is sent as application/x-www-form-urlencoded, in UTF-8";
                return Err(unsupported(detail).into());
            }
            let body = body.await?;
            query::parse(without_mark(&body)).map(Self).map_err(|_| {
                let detail = "the form can't be read: each field may come once, in UTF-8";
                HttpError(Error::new(ErrorKind::Malformed, "malformed_form", detail))
            })
        }
        .boxed_local()
    }
}

/// True when the content type is the right one, and its charset, if it says one, is UTF-8.
fn has_media_type(request: &HttpRequest, is_right: impl Fn(&str) -> bool) -> bool {
    // Of several lines no one can say which is meant (RFC 9110 §5.3).
    if request.headers().get_all(header::CONTENT_TYPE).nth(1).is_some() {
        return false;
    }
    let Ok(Some(mime)) = request.mime_type() else { return false };
    let is_utf8 = mime.get_param("charset").is_none_or(|charset| {
        charset.as_str().eq_ignore_ascii_case("utf-8") || charset.as_str().eq_ignore_ascii_case("utf8")
    });
    is_utf8 && is_right(&mime.essence_str().to_ascii_lowercase())
}

/// RFC 8259 §8.1 lets a reader ignore the mark; programs of others write it.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn unsupported(detail: &str) -> Error {
    Error::new(ErrorKind::UnsupportedMedia, "unsupported_media_type", detail)
}

/// The whole body, decompressed. `middleware` limits how long and how slowly it may arrive.
fn read(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, HttpError>> + use<> {
    let mut body = Decoder::from_headers(payload.take(), request.headers());
    let mut blocks = Blocks::default();
    async move {
        while let Some(bytes) = body.next().await {
            blocks.push(&bytes.map_err(|error| unreadable(&error))?)?;
        }
        Ok(blocks.join())
    }
}

/// Body that is still arriving. It never moves while it grows: a buffer that doubles takes up to three times its bytes.
#[derive(Default)]
struct Blocks {
    full: Vec<BytesMut>,
    last: BytesMut,
    length: usize,
}

impl Blocks {
    const SIZE: usize = 16 << 10;

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), HttpError> {
        self.length += bytes.len();
        if self.length > BODY_LIMIT {
            return Err(too_large().into());
        }
        while !bytes.is_empty() {
            let room = match self.last.capacity() - self.last.len() {
                0 => {
                    // The first block has just what arrived first: mostly that is the whole body.
                    let size =
                        if self.length == bytes.len() { bytes.len().min(Self::SIZE) } else { Self::SIZE };
                    let full = std::mem::replace(&mut self.last, BytesMut::with_capacity(size));
                    self.full.extend((!full.is_empty()).then_some(full));
                    size
                }
                room => room,
            };
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.last.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn join(self) -> Bytes {
        if self.full.is_empty() {
            return self.last.freeze();
        }
        let mut all = BytesMut::with_capacity(self.length);
        self.full.iter().chain([&self.last]).for_each(|block| all.extend_from_slice(block));
        all.freeze()
    }
}

fn too_large() -> Error {
    let detail = format!("the body has more than {BODY_LIMIT} bytes");
    Error::new(ErrorKind::TooLarge, "body_too_large", detail)
}

fn unreadable(error: &PayloadError) -> HttpError {
    if matches!(error, PayloadError::Overflow) {
        return too_large().into();
    }
    let is_decoder = matches!(error, PayloadError::Incomplete(Some(_)) | PayloadError::Io(_));
    let detail = if is_decoder {
        "the body can't be decompressed: it is not what Content-Encoding says, or it is cut off"
    } else {
        "the body can't be read to its end"
    };
    of_status(error.error_response().status(), detail.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_put_together_whatever_its_pieces_are() {
        for pieces in [&[0][..], &[5], &[1, 1, 1], &[16 << 10, 1], &[100, 40_000, 7], &[100_000], &[1; 300]] {
            let mut blocks = Blocks::default();
            let mut expected = Vec::new();
            for (number, length) in pieces.iter().enumerate() {
                let piece = vec![u8::try_from(number % 251).unwrap(); *length];
                expected.extend_from_slice(&piece);
                assert!(blocks.push(&piece).is_ok());
            }
            assert_eq!(blocks.join(), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_body_that_is_too_large_is_refused_while_it_arrives() {
        let mut blocks = Blocks::default();
        assert!(blocks.push(&vec![0; BODY_LIMIT]).is_ok());
        assert!(blocks.push(&[0]).is_err());
    }
}
