//! Hand out the bytes of a completed file.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::get::get;
use crate::actions::ServeContext;
use crate::domain::{ByteRange, Error, ErrorCode, File, FileId, Result, Status};
use crate::storage::{StorageError, object_keys};

/// Time for which a URL of content can be used: a client follows it at once, and a download that has begun goes on.
const URL_TTL: Duration = Duration::from_mins(1);

/// The file if it can be downloaded; otherwise why not.
pub async fn find_content(ctx: &ServeContext, id: FileId) -> Result<File> {
    let file = get(ctx, id).await?;
    let status = file.status.name();
    match file.status {
        Status::Completed => Ok(file),
        Status::Pending | Status::Uploading | Status::Processing => Err(Error::new(
            ErrorCode::FileNotReady,
            format!("the file is {status}; its content is there once it is completed"),
        )),
        Status::Failed | Status::Cancelled => {
            Err(Error::new(ErrorCode::FileHasNoContent, format!("the file is {status}; it has no content")))
        }
        Status::Deleted => Err(Error::new(ErrorCode::FileDeleted, "the file was deleted")),
    }
}

/// Opens what `find` gave. Before the first byte it is known that the object is there and as long as the record
/// says; of a whole object, that it is what was made, or else it ends with an error.
pub async fn open_content(
    ctx: &ServeContext,
    file: &File,
    range: Option<ByteRange>,
) -> Result<(Option<u64>, impl Stream<Item = std::io::Result<Bytes>> + use<>)> {
    let bucket = ctx.storage.bucket_name();
    let key = key_of(file, &bucket)?;
    let (size, mut bytes) = match &file.sha256 {
        Some(sha256) if range.is_none() => ctx.storage.open_verified(key, sha256.clone()).await?,
        Some(_) | None => ctx.storage.open(key, range).await?,
    };
    let recorded = range.map(ByteRange::length).or(file.size.and_then(|size| u64::try_from(size).ok()));
    if let (Some(stored), Some(recorded)) = (size, recorded)
        && stored != recorded
    {
        return Err(altered(file.id, &format!("{stored} bytes instead of {recorded}")));
    }
    let first = match bytes.next().await {
        Some(Err(error @ StorageError::Corrupt(_))) => return Err(altered(file.id, &error)),
        first => first.transpose()?,
    };
    let id = file.id;
    let bytes = stream::iter(first.map(Ok)).chain(bytes).map(move |piece| {
        piece.map_err(|error| {
            log::error!(file_id = id.0, error:% = error; "download cut off");
            std::io::Error::other(error)
        })
    });
    Ok((size, bytes))
}

/// Makes a URL at which the store itself hands out what `find` gave, with these headers, for as long as `URL_TTL`.
pub fn content_url(
    ctx: &ServeContext,
    file: &File,
    content_disposition: &str,
    content_type: &str,
) -> Result<String> {
    let bucket = ctx.storage.bucket_name();
    let key = key_of(file, &bucket)?;
    let url = ctx.storage.presign_get(key, URL_TTL, content_disposition, content_type)?;
    Ok(url.into())
}

fn key_of<'a>(file: &'a File, bucket: &str) -> Result<&'a str> {
    let own =
        file.s3_location.as_deref().and_then(|location| object_keys::own_key(bucket, file.id, location));
    own.ok_or_else(|| Error::internal("the file's location is not in our bucket"))
}

fn altered(id: FileId, how: &dyn Display) -> Error {
    log::error!(file_id = id.0, how:% = how; "object altered");
    let detail = "the stored content is not what was made; tell an operator";
    Error::new(ErrorCode::ObjectAltered, detail)
}
