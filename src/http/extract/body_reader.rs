//! Reading of request bodies: content type, decompression, and a buffer that grows without copying.

use std::io::{self, Write};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, ResponseError};
use bytes::{Bytes, BytesMut};
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use futures_util::StreamExt;

use crate::domain::{Error, ErrorCode};
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
    Error::new(ErrorCode::UnsupportedMediaType, detail)
}

/// Reads the whole body and decompresses it. `middleware::request_body` limits how long and how slowly it may arrive.
pub(super) fn read(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, HttpError>> + use<> {
    let mut body = payload.take();
    let mut decoder = Decoder::new(request.headers());
    async move {
        while let Some(bytes) = body.next().await {
            decoder
                .write_all(&bytes.map_err(|error| unreadable(&error))?)
                .map_err(|error| undecodable(&error))?;
        }
        Ok(decoder.finish().map_err(|error| undecodable(&error))?.join())
    }
}

/// Decoder of a body by its `Content-Encoding`, of which `middleware::body_coding` leaves none or one.
///
/// actix-http's decoder reads the first member of a gzip body only, although there may be several (RFC 1952 §2.2), and
/// decompresses each chunk completely before anything can be refused.
enum Decoder {
    None(Blocks),
    Gzip(MultiGzDecoder<Blocks>),
    Deflate(ZlibDecoder<Blocks>),
}

impl Decoder {
    fn new(headers: &HeaderMap) -> Self {
        let blocks = Blocks::default();
        match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            Some(b"gzip") => Self::Gzip(MultiGzDecoder::new(blocks)),
            Some(b"deflate") => Self::Deflate(ZlibDecoder::new(blocks)),
            Some(_) | None => Self::None(blocks),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::None(blocks) => blocks.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
            Self::Deflate(decoder) => decoder.write_all(bytes),
        }
    }

    /// Fails when the compressed body is cut off.
    fn finish(self) -> io::Result<Blocks> {
        match self {
            Self::None(blocks) => Ok(blocks),
            Self::Gzip(decoder) => decoder.finish(),
            Self::Deflate(decoder) => decoder.finish(),
        }
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

    /// Fails, as soon as the limit is exceeded, with an error that [`undecodable`] tells from those of a decoder.
    fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len();
        if self.length > MAX_BODY_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
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

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large() -> Error {
    let detail = format!("the body has more than {MAX_BODY_BYTES} bytes");
    Error::new(ErrorCode::BodyTooLarge, detail)
}

fn unreadable(error: &PayloadError) -> HttpError {
    if matches!(error, PayloadError::Overflow) {
        return too_large().into();
    }
    from_status(error.error_response().status(), "the body can't be read to its end".to_owned()).into()
}

fn undecodable(error: &io::Error) -> HttpError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return too_large().into();
    }
    let detail = "the body can't be decompressed: it is not what Content-Encoding says, or it is cut off";
    from_status(StatusCode::BAD_REQUEST, detail.to_owned()).into()
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

    /// Decodes a gzip body that arrives in pieces of this size.
    fn decode(body: &[u8], piece: usize) -> io::Result<Bytes> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let mut decoder = Decoder::new(&headers);
        for part in body.chunks(piece) {
            decoder.write_all(part)?;
        }
        Ok(decoder.finish()?.join())
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_member_of_a_gzip_body_is_decoded_and_nothing_else() {
        let members = [gzip(b"{\"title\":"), gzip(b""), gzip(b"\"a\"}")].concat();
        for piece in [1, 7, members.len()] {
            assert_eq!(decode(&members, piece).unwrap(), "{\"title\":\"a\"}");
            assert!(decode(&members[..members.len() - 1], piece).is_err(), "cut off");
            assert!(decode(&[members.as_slice(), b"more"].concat(), piece).is_err(), "not gzip at the end");
            let bomb = [gzip(&vec![0; MAX_BODY_BYTES]), gzip(b"0")].concat();
            assert_eq!(decode(&bomb, piece).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        }
    }

    #[test]
    fn a_body_that_is_too_large_is_refused_while_it_arrives() {
        let mut blocks = Blocks::default();
        assert!(blocks.push(&vec![0; MAX_BODY_BYTES]).is_ok());
        assert!(blocks.push(&[0]).is_err());
    }
}
