//! A local file as a stream of bytes, hashed while it is read.

use std::fs::Metadata;
use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// Size of the pieces that are read.
const PIECE_BYTES: usize = 256 << 10;

/// Local file as it was when its upload began.
#[derive(Debug, Clone)]
pub(super) struct Source {
    path: PathBuf,
    pub size: u64,
    /// Time of the last change in nanoseconds since 1970.
    pub modified_ns: i64,
    read: Arc<Mutex<Read>>,
}

/// Outcome of reading so far.
#[derive(Debug, Default)]
struct Read {
    digest: RunningDigest,
    error: Option<io::Error>,
}

impl Source {
    /// Notes size and time of a file.
    pub async fn open(path: PathBuf) -> io::Result<Self> {
        let about = tokio::fs::metadata(&path).await?;
        // Not readable is said before anything is started on the server.
        tokio::fs::File::open(&path).await?;
        Ok(Self { path, size: about.len(), modified_ns: modified_ns(&about), read: Arc::default() })
    }

    /// Tells whether the file has been changed since. Fails when it could not be read.
    pub async fn has_changed(&self) -> io::Result<bool> {
        if let Some(error) = self.read.lock().unwrap_or_else(PoisonError::into_inner).error.take() {
            return Err(error);
        }
        let about = tokio::fs::metadata(&self.path).await?;
        Ok((about.len(), modified_ns(&about)) != (self.size, self.modified_ns))
    }

    /// Reads the bytes from `offset` to the end that was noted; `watch` is told the number of each piece.
    pub async fn bytes(
        &self,
        offset: u64,
        watch: impl Fn(u64) + Send + 'static,
    ) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
        let mut file = tokio::fs::File::open(&self.path).await?;
        file.seek(SeekFrom::Start(offset)).await?;
        let pieces = ReaderStream::with_capacity(file.take(self.size.saturating_sub(offset)), PIECE_BYTES);
        let read = Arc::clone(&self.read);
        let failed = Arc::clone(&self.read);
        let mut position = offset;
        let hashed = pieces.inspect_ok(move |bytes| {
            read.lock().unwrap_or_else(PoisonError::into_inner).digest.add(position, bytes);
            position += bytes.len() as u64;
            watch(bytes.len() as u64);
        });
        Ok(hashed.map_err(move |error| {
            let again = io::Error::new(error.kind(), error.to_string());
            failed.lock().unwrap_or_else(PoisonError::into_inner).error = Some(error);
            again
        }))
    }

    /// Returns the SHA-256 in hexadecimal digits, if every byte was read.
    pub fn sha256(&self) -> Option<String> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).digest.of_whole(self.size)
    }
}

fn modified_ns(about: &Metadata) -> i64 {
    about.mtime().saturating_mul(1_000_000_000).saturating_add(about.mtime_nsec())
}

/// SHA-256 of the bytes from the beginning on, which may come repeatedly, but not with a gap.
#[derive(Debug, Default)]
struct RunningDigest {
    hasher: Sha256,
    /// Number of bytes that are hashed.
    position: u64,
}

impl RunningDigest {
    fn add(&mut self, offset: u64, bytes: &[u8]) {
        let known = self.position.checked_sub(offset).and_then(|known| usize::try_from(known).ok());
        let Some(new) = known.and_then(|known| bytes.get(known..)) else { return };
        self.hasher.update(new);
        self.position += new.len() as u64;
    }

    fn of_whole(&self, size: u64) -> Option<String> {
        (self.position == size).then(|| format!("{:x}", self.hasher.clone().finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_bytes_are_hashed_once_and_a_gap_leaves_no_digest() {
        let whole = Some(format!("{:x}", Sha256::digest(b"abcdef")));
        let digest = |pieces: &[(u64, &[u8])]| {
            let mut digest = RunningDigest::default();
            for (offset, bytes) in pieces {
                digest.add(*offset, bytes);
            }
            digest.of_whole(6)
        };
        assert_eq!(digest(&[(0, b"abc"), (3, b"def")]), whole);
        assert_eq!(digest(&[(0, b"abcd"), (2, b"cd"), (2, b"cdef")]), whole);
        assert_eq!(digest(&[(0, b"abc"), (0, b"abcdef")]), whole);
        assert_eq!(digest(&[(0, b"abc"), (4, b"ef")]), None);
        assert_eq!(digest(&[(3, b"def")]), None);
        assert_eq!(digest(&[(0, b"abc")]), None);
    }

    #[tokio::test]
    async fn a_file_that_changes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let source = Source::open(path.clone()).await.unwrap();
        assert!(!source.has_changed().await.unwrap());
        std::fs::write(&path, "abcd").unwrap();
        assert!(source.has_changed().await.unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(source.has_changed().await.is_err());
    }
}
