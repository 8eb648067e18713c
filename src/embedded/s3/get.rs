//! Objects that go out: whole or in part, with what is known of them.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use s3s::dto::{Checksum, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, StreamingBlob};
use s3s::{S3Error, S3Result};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::fields::described;
use super::files::{Files, blocking};
use super::object::Opened;

/// Bytes of a piece of an answer.
const PIECE: usize = 64 << 10;

pub(super) async fn get(files: &Arc<Files>, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    let (opened, range, whole) = blocking(files, move |files| open(files, &input)).await?;
    let Opened { file, description, modified } = opened;
    let size = description.size;
    let length = range.as_ref().map_or(size, |range| range.end - range.start);
    let body = match whole {
        Some(bytes) => StreamingBlob::from(s3s::Body::from(bytes)),
        None => {
            let file = tokio::fs::File::from_std(file).take(length);
            StreamingBlob::wrap(ReaderStream::with_capacity(file, PIECE))
        }
    };
    let tag = description.tag();
    // As S3 has it, the digests are of a whole object.
    let sums = if length == size { description.sums.into() } else { Checksum::default() };
    let headers = description.headers;
    Ok(described!(
        GetObjectOutput {
            body: Some(body),
            content_length: i64::try_from(length).ok(),
            content_range: range.map(|range| format!("bytes {}-{}/{size}", range.start, range.end - 1)),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(tag),
            last_modified: Some(modified),
        },
        headers,
        sums
    ))
}

type Found = (Opened, Option<Range<u64>>, Option<Bytes>);

/// The object at the place where the answer begins, and all of a small answer: each piece of it by itself would wake a
/// thread. Blocks.
fn open(files: &Files, input: &GetObjectInput) -> S3Result<Found> {
    let mut opened = files.object(&input.bucket, &input.key)?;
    opened.check(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let size = opened.description.size;
    let range = input.range.map(|range| range.check(size)).transpose()?.filter(|range| !range.is_empty());
    let bounds = range.clone().unwrap_or(0..size);
    files.record(opened.file.seek(SeekFrom::Start(bounds.start)))?;
    let length = usize::try_from(bounds.end - bounds.start).map_err(S3Error::internal_error)?;
    if length > PIECE {
        return Ok((opened, range, None));
    }
    let mut bytes = vec![0; length];
    files.record(opened.file.read_exact(&mut bytes))?;
    Ok((opened, range, Some(bytes.into())))
}

/// Blocks.
pub(super) fn head(files: &Files, input: &HeadObjectInput) -> S3Result<HeadObjectOutput> {
    let opened = files.object(&input.bucket, &input.key)?;
    opened.check(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let Opened { description, modified, .. } = opened;
    let tag = description.tag();
    let sums: Checksum = description.sums.into();
    let headers = description.headers;
    Ok(described!(
        HeadObjectOutput {
            content_length: i64::try_from(description.size).ok(),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(tag),
            last_modified: Some(modified),
        },
        headers,
        sums
    ))
}
