//! Incoming bytes: hashed while they are written to a staged file, and verified before the object gets its name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    Checksum, ChecksumAlgorithm, CopyObjectInput, CopySource, ETag, MetadataDirective, PutObjectInput,
    PutObjectOutput, StreamingBlob, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders};
use tokio::task::JoinHandle;

use super::fields::{headers_of, with_sums};
use super::files::{Conditions, Files, Staged, blocking};
use super::hex;
use super::object::{Checksums, Description};

/// Bytes that are collected before they are written to the file, on another thread.
const WRITE_BATCH_BYTES: usize = 1 << 20;

/// Body that was received completely, in a file that has no name yet.
pub(super) struct Received {
    pub staged: Staged,
    pub size: u64,
    /// Entity tag.
    pub tag: String,
    pub sums: Checksum,
}

/// Digests that a request names, which the body must have.
#[derive(Default)]
pub(super) struct Expected {
    pub md5: Option<String>,
    pub sums: Checksum,
    pub algorithm: Option<ChecksumAlgorithm>,
    /// Digests that come behind the body.
    pub trailing: Option<TrailingHeaders>,
}

impl Expected {
    fn hashes(&self) -> Box<Hashes> {
        let (sums, mut hasher) = (&self.sums, ChecksumHasher::default());
        let algorithm = self.algorithm.as_ref().map_or("", ChecksumAlgorithm::as_str);
        let is_wanted = |sum: &Option<String>, name| sum.is_some() || algorithm == name;
        hasher.crc32 = is_wanted(&sums.checksum_crc32, ChecksumAlgorithm::CRC32).then(Default::default);
        hasher.crc32c = is_wanted(&sums.checksum_crc32c, ChecksumAlgorithm::CRC32C).then(Default::default);
        hasher.sha1 = is_wanted(&sums.checksum_sha1, ChecksumAlgorithm::SHA1).then(Default::default);
        hasher.sha256 = is_wanted(&sums.checksum_sha256, ChecksumAlgorithm::SHA256).then(Default::default);
        hasher.crc64nvme =
            is_wanted(&sums.checksum_crc64nvme, ChecksumAlgorithm::CRC64NVME).then(Default::default);
        // MD5 takes more than twice the time of SHA-256, and S3 doesn't promise that a tag is one.
        let has_md5 = self.md5.is_some() || hasher.sha256.is_none();
        Box::new(Hashes { md5: has_md5.then(Md5::new), sums: hasher })
    }

    fn check(mut self, md5: Option<&[u8]>, found: &Checksum) -> S3Result<()> {
        if let Some(trailing) = self.trailing.take().and_then(|trailing| trailing.take()) {
            let get =
                |name: &str| trailing.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let sums = &mut self.sums;
            for (sum, name) in [
                (&mut sums.checksum_crc32, "x-amz-checksum-crc32"),
                (&mut sums.checksum_crc32c, "x-amz-checksum-crc32c"),
                (&mut sums.checksum_sha1, "x-amz-checksum-sha1"),
                (&mut sums.checksum_sha256, "x-amz-checksum-sha256"),
                (&mut sums.checksum_crc64nvme, "x-amz-checksum-crc64nvme"),
            ] {
                *sum = sum.take().or_else(|| get(name));
            }
        }
        let pairs = [
            (&self.sums.checksum_crc32, &found.checksum_crc32),
            (&self.sums.checksum_crc32c, &found.checksum_crc32c),
            (&self.sums.checksum_sha1, &found.checksum_sha1),
            (&self.sums.checksum_sha256, &found.checksum_sha256),
            (&self.sums.checksum_crc64nvme, &found.checksum_crc64nvme),
        ];
        let md5_differs =
            self.md5.zip(md5).is_some_and(|(sent, found)| sent != BASE64_STANDARD.encode(found));
        if md5_differs || pairs.iter().any(|(sent, found)| sent.is_some() && found.is_some() && sent != found)
        {
            let message = "these are other bytes than the digest is of";
            return Err(S3Error::with_message(S3ErrorCode::BadDigest, message));
        }
        Ok(())
    }
}

/// Body of which all but the last bytes are written.
pub(super) struct Incoming {
    staged: Option<Staged>,
    hashes: Box<Hashes>,
    rest: Bytes,
    size: u64,
    expected: Expected,
}

/// Receives a body and writes all but its end to its slot, if it has one, or to a staged file; a small body is not
/// written at all. What was received is hashed and written while the next bytes come in. Nothing is left of a body that
/// is cut off.
pub(super) async fn receive(
    files: &Arc<Files>,
    body: Option<StreamingBlob>,
    length: Option<i64>,
    expected: Expected,
    slot: Option<Staged>,
) -> S3Result<Incoming> {
    let mut body = body.ok_or_else(|| S3Error::new(S3ErrorCode::IncompleteBody))?;
    let length = length.and_then(|length| u64::try_from(length).ok());
    // Never more than a batch, whatever length the client announces.
    let capacity = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0).min(WRITE_BATCH_BYTES);
    let mut batch = BytesMut::with_capacity(capacity);
    let mut written = Written::Idle(slot, expected.hashes());
    let mut size = 0;
    let cut_off = |error| S3Error::with_source(S3ErrorCode::IncompleteBody, error);
    while let Some(piece) = body.try_next().await.map_err(cut_off)? {
        size += piece.len() as u64;
        if length.is_some_and(|length| size > length) {
            // More would overwrite what lies behind a slot.
            return Err(S3Error::new(S3ErrorCode::IncompleteBody));
        }
        batch.extend_from_slice(&piece);
        if batch.len() >= WRITE_BATCH_BYTES {
            let (staged, mut hashes) = written.end().await?;
            let bytes = batch.split().freeze();
            let files = Arc::clone(files);
            // On a file thread: hashing and writing would block the runtime's.
            written = Written::InFlight(tokio::task::spawn_blocking(move || {
                let outcome = write(&files, staged, &mut hashes, &bytes);
                files.stored(outcome, length.unwrap_or(size)).map(|staged| (staged, hashes))
            }));
        }
    }
    let (staged, hashes) = written.end().await?;
    if length.is_some_and(|length| length != size) {
        return Err(S3Error::new(S3ErrorCode::IncompleteBody));
    }
    Ok(Incoming { staged, hashes, rest: batch.freeze(), size, expected })
}

/// File of what was received so far, with its digests. A batch may still be on its way there.
enum Written {
    Idle(Option<Staged>, Box<Hashes>),
    InFlight(JoinHandle<S3Result<(Staged, Box<Hashes>)>>),
}

impl Written {
    /// Waits for the batch in flight.
    async fn end(self) -> S3Result<(Option<Staged>, Box<Hashes>)> {
        match self {
            Self::Idle(staged, hashes) => Ok((staged, hashes)),
            Self::InFlight(batch) => {
                let (staged, hashes) = batch.await.map_err(S3Error::internal_error)??;
                Ok((Some(staged), hashes))
            }
        }
    }
}

impl Incoming {
    /// Writes the end of the body and verifies its digests. Blocks.
    pub fn complete(mut self, files: &Files) -> S3Result<Received> {
        let written = write(files, self.staged, &mut self.hashes, &self.rest);
        let staged = files.stored(written, self.size)?;
        let (md5, sums) = (self.hashes.md5.map(Md5::finalize), self.hashes.sums.finalize());
        // Before the object gets its name: a corrupt body leaves nothing but a staged file, which is removed.
        self.expected.check(md5.as_ref().map(AsRef::as_ref), &sums)?;
        let digest = match md5 {
            Some(md5) => md5.as_ref().to_vec(),
            None => sums
                .checksum_sha256
                .as_ref()
                .and_then(|sum| BASE64_STANDARD.decode(sum).ok())
                .unwrap_or_default(),
        };
        Ok(Received { staged, size: self.size, tag: hex(&digest), sums })
    }
}

/// Digests of a body, as far as it was received.
struct Hashes {
    /// Tag of the object, unless it is its SHA-256.
    md5: Option<Md5>,
    sums: ChecksumHasher,
}

fn write(files: &Files, staged: Option<Staged>, hashes: &mut Hashes, bytes: &[u8]) -> io::Result<Staged> {
    if let Some(md5) = &mut hashes.md5 {
        md5.update(bytes);
    }
    hashes.sums.update(bytes);
    let mut staged = staged.map_or_else(|| files.stage(), Ok)?;
    staged.file.write_all(bytes)?;
    Ok(staged)
}

/// Stores an object.
pub(super) async fn put(
    files: &Arc<Files>,
    mut input: PutObjectInput,
    trailing: Option<TrailingHeaders>,
) -> S3Result<PutObjectOutput> {
    files.check_place(&input.bucket, &input.key)?;
    let expected = Expected {
        md5: input.content_md5.take(),
        sums: Checksum {
            checksum_crc32: input.checksum_crc32.take(),
            checksum_crc32c: input.checksum_crc32c.take(),
            checksum_sha1: input.checksum_sha1.take(),
            checksum_sha256: input.checksum_sha256.take(),
            checksum_crc64nvme: input.checksum_crc64nvme.take(),
            ..Checksum::default()
        },
        algorithm: input.checksum_algorithm.take(),
        trailing,
    };
    let incoming = receive(files, input.body.take(), input.content_length, expected, None).await?;
    blocking(files, move |files| {
        let received = incoming.complete(files)?;
        let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
        let description = Description {
            key: input.key,
            size: received.size,
            e_tag: received.tag,
            sums: received.sums.clone().into(),
            headers: headers_of!(input),
        };
        files.name_object(received.staged, &input.bucket, &description, &conditions)?;
        let sums = received.sums;
        Ok(with_sums!(PutObjectOutput { e_tag: Some(description.tag()) }, sums))
    })
    .await
}

/// Copies an object; returns the copy's tag and time. Blocks.
pub(super) fn copy(files: &Files, input: CopyObjectInput) -> S3Result<(ETag, Timestamp)> {
    let CopySource::Bucket { bucket, key, .. } = input.copy_source else {
        return Err(S3Error::new(S3ErrorCode::NotImplemented));
    };
    files.check_place(&input.bucket, &input.key)?;
    let source = files.object(&bucket, &key)?;
    source
        .check(input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref())
        .map_err(|_| S3Error::new(S3ErrorCode::PreconditionFailed))?;
    let is_replaced =
        input.metadata_directive.is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    let headers = if is_replaced { headers_of!(input) } else { source.description.headers.clone() };
    let description = Description { key: input.key, headers, ..source.description };
    let copied = stage_copy(files, &source.file, description.size);
    let staged = files.stored(copied, description.size)?;
    files.name_object(staged, &input.bucket, &description, &Conditions::default())?;
    let made = files.object(&input.bucket, &description.key)?;
    Ok((made.description.tag(), made.modified))
}

/// Copies the first bytes of a file to a staged file.
pub(super) fn stage_copy(files: &Files, source: &File, size: u64) -> io::Result<Staged> {
    let mut staged = files.stage()?;
    append(&mut staged, source, 0, size)?;
    Ok(staged)
}

/// Appends bytes of `source`, from `start` on, to a staged file.
pub(super) fn append(staged: &mut Staged, source: &File, start: u64, size: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut reader = source;
    reader.seek(SeekFrom::Start(start))?;
    let copied = io::copy(&mut reader.take(size), &mut staged.file)?;
    if copied == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

impl From<Checksums> for Checksum {
    fn from(sums: Checksums) -> Self {
        Self {
            checksum_sha256: sums.sha256,
            checksum_sha1: sums.sha1,
            checksum_crc32: sums.crc32,
            checksum_crc32c: sums.crc32c,
            checksum_crc64nvme: sums.crc64nvme,
            ..Self::default()
        }
    }
}
