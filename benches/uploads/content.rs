//! Bodies of any size from one block of bytes, so that a client needs neither a file nor memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};

/// Bytes in one write.
const BLOCK: usize = 256 << 10;

/// Bytes that don't compress.
static RANDOM: LazyLock<Bytes> = LazyLock::new(|| {
    let mut block = Vec::with_capacity(BLOCK);
    let mut hash = Sha256::digest(b"uploads");
    while block.len() < BLOCK {
        block.extend_from_slice(&hash);
        hash = Sha256::digest(hash);
    }
    block.into()
});

/// Content of `size` bytes, with bytes before and after it.
pub struct Content {
    before: Bytes,
    size: usize,
    after: Bytes,
}

impl Content {
    pub const EMPTY: Self = Self { before: Bytes::new(), size: 0, after: Bytes::new() };

    pub fn of_size(size: usize) -> Self {
        Self { size, ..Self::EMPTY }
    }

    /// Puts it between the head and the foot of a form.
    pub fn between(before: String, size: usize, after: String) -> Self {
        Self { before: before.into(), size, after: after.into() }
    }

    pub fn len(&self) -> usize {
        self.before.len() + self.size + self.after.len()
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = if !self.before.is_empty() {
            std::mem::take(&mut self.before)
        } else if self.size > 0 {
            let block = RANDOM.slice(..self.size.min(BLOCK));
            self.size -= block.len();
            block
        } else {
            std::mem::take(&mut self.after)
        };
        Poll::Ready((!next.is_empty()).then(|| Ok(Frame::data(next))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

/// Computes the SHA-256 of the content.
pub async fn digest(size: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut content = Content::of_size(size);
    while let Some(Ok(frame)) = content.frame().await {
        hash.update(frame.data_ref().map_or(&[][..], |data| &data[..]));
    }
    hash.finalize().into()
}

pub fn hex(digest: &[u8]) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
