//! Reading of objects and of their descriptions, whole or in part.

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
use super::object::{Headers, OpenObject};

/// Size of the pieces in which an object is read.
const PIECE_BYTES: usize = 64 << 10;

/// Reads an object, or a range of it.
pub(super) async fn get(files: &Arc<Files>, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    let replaced = Headers {
        content_type: input.response_content_type.clone(),
        content_encoding: input.response_content_encoding.clone(),
        content_disposition: input.response_content_disposition.clone(),
        content_language: input.response_content_language.clone(),
        cache_control: input.response_cache_control.clone(),
        user_metadata: None,
    };
    let (opened, range, whole) = blocking(files, move |files| open(files, &input)).await?;
    let OpenObject { file, description, modified } = opened;
    let size = description.size;
    let length = range.as_ref().map_or(size, |range| range.end - range.start);
    let body = match whole {
        Some(bytes) => StreamingBlob::from(s3s::Body::from(bytes)),
        None => {
            let file = tokio::fs::File::from_std(file).take(length);
            StreamingBlob::wrap(ReaderStream::with_capacity(file, PIECE_BYTES))
        }
    };
    let tag = description.tag();
    // As in S3, digests are returned with a whole object only.
    let sums = if length == size { description.sums.into() } else { Checksum::default() };
    let headers = description.headers.replaced_by(replaced);
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

type Found = (OpenObject, Option<Range<u64>>, Option<Bytes>);

/// Opens the object at the beginning of the range, and reads a small range at once: each piece read separately would
/// wake a thread. Blocks.
fn open(files: &Files, input: &GetObjectInput) -> S3Result<Found> {
    let mut opened = files.object(&input.bucket, &input.key)?;
    opened.check(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let size = opened.description.size;
    let range = input.range.map(|range| range.check(size)).transpose()?.filter(|range| !range.is_empty());
    let bounds = range.clone().unwrap_or(0..size);
    files.record(opened.file.seek(SeekFrom::Start(bounds.start)))?;
    let length = usize::try_from(bounds.end - bounds.start).map_err(S3Error::internal_error)?;
    if length > PIECE_BYTES {
        return Ok((opened, range, None));
    }
    let mut bytes = vec![0; length];
    files.record(opened.file.read_exact(&mut bytes))?;
    Ok((opened, range, Some(bytes.into())))
}

/// Describes an object. Blocks.
pub(super) fn head(files: &Files, input: &HeadObjectInput) -> S3Result<HeadObjectOutput> {
    let opened = files.object(&input.bucket, &input.key)?;
    opened.check(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let OpenObject { description, modified, .. } = opened;
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
