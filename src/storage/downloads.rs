//! Downloads: objects as streams of bytes, verified against their digest where it is known.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use sha2::{Digest, Sha256};

use super::client::request::Request;
use super::{Storage, StorageError, hex, limits};
use crate::domain::ByteRange;

/// Size of what is read, if the store tells it, and its bytes.
type Download = (Option<u64>, BoxStream<'static, Result<Bytes, StorageError>>);

impl Storage {
    /// Opens an object, or a range of it, for reading. The stream ends with an error when the store is silent for too
    /// long.
    pub async fn open(&self, key: &str, range: Option<ByteRange>) -> Result<Download, StorageError> {
        self.track_outage(self.open_stream(key, range).await)
    }

    /// Opens a whole object that must have this digest. The stream of one with another digest never ends well, and that
    /// of a short one fails before its first byte.
    pub async fn open_verified(&self, key: &str, sha256: String) -> Result<Download, StorageError> {
        let (size, bytes) = self.open(key, None).await?;
        Ok((size, verified(bytes, sha256).boxed()))
    }

    async fn open_stream(&self, key: &str, range: Option<ByteRange>) -> Result<Download, StorageError> {
        let response = self.client.send_for_object(Request::download(key, range)?).await?;
        let size = response.content_length();
        let body = Box::pin(response.bytes_stream());
        let bytes = stream::unfold(Some(body), |body| async {
            let mut body = body?;
            // Per piece and not for the whole: a large object may take any time as long as it progresses.
            match tokio::time::timeout(limits::DOWNLOAD_IDLE_TIMEOUT, body.next()).await {
                Ok(None) => None,
                Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
                Ok(Some(Err(error))) => Some((Err(error.into()), None)),
                Err(_) => Some((Err(StorageError::TimedOut), None)),
            }
        });
        Ok((size, bytes.boxed()))
    }
}

/// Stream whose last bytes are held back until the digest of all of them is known.
struct Verifying {
    source: Option<BoxStream<'static, Result<Bytes, StorageError>>>,
    expected: String,
    digest: Sha256,
    held: VecDeque<Bytes>,
    held_bytes: usize,
}

/// Passes the bytes on. When their digest is not the expected one, `Corrupt` comes in place of the last bytes.
fn verified(
    bytes: impl Stream<Item = Result<Bytes, StorageError>> + Send + 'static,
    sha256: String,
) -> impl Stream<Item = Result<Bytes, StorageError>> {
    let verifying = Verifying {
        source: Some(bytes.boxed()),
        expected: sha256,
        digest: Sha256::new(),
        held: VecDeque::new(),
        held_bytes: 0,
    };
    stream::unfold(Some(verifying), |verifying| async {
        let mut verifying = verifying?;
        match verifying.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(verifying))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Verifying {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        while self.held_bytes <= limits::VERIFY_BUFFER_BYTES
            && let Some(source) = &mut self.source
        {
            if let Some(piece) = source.next().await {
                // The held-back bytes are dropped with it: the download must end as cut off, not as complete.
                let piece = piece?;
                self.digest.update(&piece);
                self.held_bytes += piece.len();
                self.held.push_back(piece);
            } else {
                self.source = None;
                let found = hex(&self.digest.finalize_reset());
                if found != self.expected {
                    let text = format!("stored {}, found {found}", self.expected);
                    return Err(StorageError::Corrupt(text));
                }
            }
        }
        let piece = self.held.pop_front();
        self.held_bytes -= piece.as_ref().map_or(0, Bytes::len);
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Stored;

    /// Passes pieces of these sizes through a verified stream; returns how many bytes came out, and whether all did.
    async fn passed(sizes: &[usize], alter: bool) -> (usize, bool) {
        let pieces: Vec<Bytes> = sizes.iter().map(|size| Bytes::from(vec![b'x'; *size])).collect();
        let mut sha256 = Stored::of(&pieces.concat()).sha256;
        if alter {
            sha256.replace_range(..1, "g");
        }
        let mut bytes = std::pin::pin!(verified(stream::iter(pieces.into_iter().map(Ok)), sha256));
        let mut count = 0;
        while let Some(piece) = bytes.next().await {
            match piece {
                Ok(piece) => count += piece.len(),
                Err(StorageError::Corrupt(_)) => return (count, false),
                Err(other) => panic!("{other}"),
            }
        }
        (count, true)
    }

    #[tokio::test]
    async fn right_bytes_come_through_whatever_their_pieces() {
        for sizes in [
            &[][..],
            &[0],
            &[1, 2, 3],
            &[limits::VERIFY_BUFFER_BYTES; 3],
            &[10; 100],
            &[limits::VERIFY_BUFFER_BYTES + 1, 0, 5],
        ] {
            assert_eq!(passed(sizes, false).await, (sizes.iter().sum(), true), "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn of_wrong_bytes_the_last_are_never_delivered_and_of_few_none() {
        for sizes in [&[][..], &[1, 2, 3], &[limits::VERIFY_BUFFER_BYTES / 4; 4]] {
            assert_eq!(passed(sizes, true).await, (0, false), "{sizes:?}");
        }
        let (count, whole) = passed(&[limits::VERIFY_BUFFER_BYTES / 2; 8], true).await;
        assert!(!whole && count > 0 && count <= 3 * limits::VERIFY_BUFFER_BYTES, "{count}");
    }
}
