//! Reading of request bodies: content type, decompression, and a buffer that grows without copying.

use actix_http::encoding::Decoder;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest, ResponseError};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use crate::domain::{Error, ErrorKind};
use crate::http::error::{HttpError, from_status};

/// Maximum size of a body, compressed or not: a title and 64 KiB of description, each byte of it escaped as `\u00XX`, with
/// some room.
pub(in crate::http) const MAX_BODY_BYTES: usize = 512 * 1024;

/// Tells whether the content type is the right one, and its charset, if it names one, is UTF-8.
pub(super) fn has_media_type(request: &HttpRequest, is_right: impl Fn(&str) -> bool) -> bool {
    // Of several header lines none can be said to be the one that is meant (RFC 9110 §5.3).
    if request.headers().get_all(header::CONTENT_TYPE).nth(1).is_some() {
        return false;
    }
    let Ok(Some(mime)) = request.mime_type() else { return false };
    let is_utf8 = mime.get_param("charset").is_none_or(|charset| {
        charset.as_str().eq_ignore_ascii_case("utf-8") || charset.as_str().eq_ignore_ascii_case("utf8")
    });
    is_utf8 && is_right(&mime.essence_str().to_ascii_lowercase())
}

/// Removes a byte order mark, which RFC 8259 §8.1 lets readers ignore and some programs write.
pub(super) fn without_byte_order_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

pub(super) fn unsupported_media_type(detail: &str) -> Error {
    Error::new(ErrorKind::UnsupportedMedia, "unsupported_media_type", detail)
}

/// Reads the whole body and decompresses it. `middleware::request_body` limits how long and how slowly it may arrive.
pub(super) fn read(
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

/// Body that is still arriving, in blocks. No block moves while others are added: a buffer that doubles when it is full takes
/// up to three times its bytes while it is copied.
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
        if self.length > MAX_BODY_BYTES {
            return Err(too_large().into());
        }
        while !bytes.is_empty() {
            let room = match self.last.capacity() - self.last.len() {
                0 => {
                    // The first block is as large as what arrives first, which is the whole of most bodies.
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
    let detail = format!("the body has more than {MAX_BODY_BYTES} bytes");
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
    from_status(error.error_response().status(), detail.to_owned()).into()
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
        assert!(blocks.push(&vec![0; MAX_BODY_BYTES]).is_ok());
        assert!(blocks.push(&[0]).is_err());
    }
}
