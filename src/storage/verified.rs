//! Bytes on their way out of the store, compared with the digest that they must have.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use sha2::{Digest, Sha256};

use super::{StorageError, hex};

/// So many of the last bytes are held back until the digest of all is known: of an object that is not longer, none is
/// handed out before.
const HELD_BACK: usize = 1 << 20;

struct Passing {
    from: Option<BoxStream<'static, Result<Bytes, StorageError>>>,
    expected: String,
    digest: Sha256,
    held: VecDeque<Bytes>,
    size: usize,
}

/// The same bytes. In place of the last ones comes `Corrupt` when they are not those that were stored.
pub(super) fn verified(
    bytes: impl Stream<Item = Result<Bytes, StorageError>> + Send + 'static,
    sha256: String,
) -> impl Stream<Item = Result<Bytes, StorageError>> {
    let passing = Passing {
        from: Some(bytes.boxed()),
        expected: sha256,
        digest: Sha256::new(),
        held: VecDeque::new(),
        size: 0,
    };
    stream::unfold(Some(passing), |passing| async {
        let mut passing = passing?;
        match passing.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(passing))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Passing {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        while self.size <= HELD_BACK
            && let Some(from) = &mut self.from
        {
            if let Some(piece) = from.next().await {
                let piece = piece?;
                self.digest.update(&piece);
                self.size += piece.len();
                self.held.push_back(piece);
            } else {
                self.from = None;
                let found = hex(&self.digest.finalize_reset());
                if found != self.expected {
                    let text = format!("stored {}, found {found}", self.expected);
                    return Err(StorageError::Corrupt(text));
                }
            }
        }
        let piece = self.held.pop_front();
        self.size -= piece.as_ref().map_or(0, Bytes::len);
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Stored;

    /// What comes through of pieces of so many bytes: how many, and whether all do.
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
        for sizes in [&[][..], &[0], &[1, 2, 3], &[HELD_BACK; 3], &[10; 100], &[HELD_BACK + 1, 0, 5]] {
            assert_eq!(passed(sizes, false).await, (sizes.iter().sum(), true), "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn of_wrong_bytes_the_last_never_come_and_of_few_none() {
        for sizes in [&[][..], &[1, 2, 3], &[HELD_BACK / 4; 4]] {
            assert_eq!(passed(sizes, true).await, (0, false), "{sizes:?}");
        }
        let (count, whole) = passed(&[HELD_BACK / 2; 8], true).await;
        assert!(!whole && count > 0 && count <= 3 * HELD_BACK, "{count}");
    }
}
