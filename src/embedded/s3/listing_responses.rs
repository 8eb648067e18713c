//! Responses of listings: buckets, objects, parts of an upload, uploads. All functions block.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::dto::{
    Bucket, ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::dir_entries::dir_entries;
use super::files::Files;
use super::listing::{self, MAX_KEYS, Page};
use super::listing_query::ListingQuery;
use super::{hex, multipart};

/// Returns the number of entries of a page.
fn limit(max: Option<i32>) -> usize {
    max.map_or(MAX_KEYS, |max| usize::try_from(max).unwrap_or(0)).min(MAX_KEYS)
}

/// Lists a page of objects.
pub(super) fn page(files: &Files, bucket: &str, query: &ListingQuery) -> S3Result<Page> {
    files.check_bucket(bucket)?;
    // Health checks ask for one key at most. A listing alone would not show that the disk can't be written.
    if query.max <= 1 {
        files.probe()?;
    }
    files.record(listing::page(files, bucket, query))
}

/// Encodes a name for `encoding-type=url`: names may have characters that XML can't represent.
fn url_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex(&[byte]).to_uppercase());
        }
        encoded
    })
}

/// Decodes a continuation token. Tokens are keys in Base64, because keys may have characters that XML can't represent.
fn of_token(token: &str) -> S3Result<String> {
    let key = BASE64_URL_SAFE_NO_PAD.decode(token).ok().and_then(|key| String::from_utf8(key).ok());
    key.ok_or_else(|| S3Error::with_message(S3ErrorCode::InvalidArgument, "this is no continuation token"))
}

fn encode(page: &mut Page) {
    for key in page.objects.iter_mut().filter_map(|object| object.key.as_mut()) {
        *key = url_encoded(key);
    }
    for prefix in page.prefixes.iter_mut().filter_map(|prefix| prefix.prefix.as_mut()) {
        *prefix = url_encoded(prefix);
    }
}

/// Lists objects (version 1).
pub(super) fn objects(files: &Files, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
    let query = ListingQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        after: input.marker.clone(),
        start_after: None,
        max: limit(input.max_keys),
    };
    let mut page = page(files, &input.bucket, &query)?;
    if input.encoding_type.is_some() {
        encode(&mut page);
    }
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: input.prefix,
        marker: input.marker,
        max_keys: i32::try_from(query.max).ok(),
        delimiter: input.delimiter,
        encoding_type: input.encoding_type,
        is_truncated: Some(page.next.is_some()),
        next_marker: page.next,
        contents: Some(page.objects).filter(|objects| !objects.is_empty()),
        common_prefixes: Some(page.prefixes).filter(|prefixes| !prefixes.is_empty()),
        ..ListObjectsOutput::default()
    })
}

/// Lists objects (version 2).
pub(super) fn objects_v2(files: &Files, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let query = ListingQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        after: input.continuation_token.as_deref().map(of_token).transpose()?,
        start_after: input.start_after.clone(),
        max: limit(input.max_keys),
    };
    let mut page = page(files, &input.bucket, &query)?;
    if input.encoding_type.is_some() {
        encode(&mut page);
    }
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: input.prefix,
        delimiter: input.delimiter,
        continuation_token: input.continuation_token,
        start_after: input.start_after,
        encoding_type: input.encoding_type,
        key_count: i32::try_from(page.objects.len() + page.prefixes.len()).ok(),
        max_keys: i32::try_from(query.max).ok(),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(|next| BASE64_URL_SAFE_NO_PAD.encode(next)),
        contents: Some(page.objects).filter(|objects| !objects.is_empty()),
        common_prefixes: Some(page.prefixes).filter(|prefixes| !prefixes.is_empty()),
        ..ListObjectsV2Output::default()
    })
}

/// Lists the parts of an upload.
pub(super) fn parts(files: &Files, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let mut parts = multipart::list_parts(files, &input.bucket, &input.key, &input.upload_id)?;
    parts.retain(|part| part.part_number > input.part_number_marker);
    let max = limit(input.max_parts);
    let has_more = parts.len() > max;
    parts.truncate(max);
    Ok(ListPartsOutput {
        is_truncated: Some(has_more),
        next_part_number_marker: parts.last().filter(|_| has_more).and_then(|part| part.part_number),
        max_parts: i32::try_from(max).ok(),
        part_number_marker: input.part_number_marker,
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        parts: Some(parts),
        ..ListPartsOutput::default()
    })
}

/// Lists unfinished uploads.
pub(super) fn uploads(
    files: &Files,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let prefix = input.prefix.clone().unwrap_or_default();
    let mut uploads = multipart::uploads(files, &input.bucket, &prefix)?;
    if let Some(marker) = &input.key_marker {
        uploads.retain(|upload| match &input.upload_id_marker {
            Some(id) => (upload.key.as_ref(), upload.upload_id.as_ref()) > (Some(marker), Some(id)),
            None => upload.key.as_ref() > Some(marker),
        });
    }
    let max = limit(input.max_uploads);
    let has_more = uploads.len() > max;
    uploads.truncate(max);
    let last = uploads.last().filter(|_| has_more);
    Ok(ListMultipartUploadsOutput {
        is_truncated: Some(has_more),
        next_key_marker: last.and_then(|upload| upload.key.clone()),
        next_upload_id_marker: last.and_then(|upload| upload.upload_id.clone()),
        max_uploads: i32::try_from(max).ok(),
        bucket: Some(input.bucket),
        prefix: input.prefix,
        key_marker: input.key_marker,
        upload_id_marker: input.upload_id_marker,
        uploads: Some(uploads),
        ..ListMultipartUploadsOutput::default()
    })
}

/// Lists the buckets.
pub(super) fn buckets(files: &Files) -> S3Result<ListBucketsOutput> {
    let describe = |path: std::path::PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let creation_date = Some(Timestamp::from(std::fs::metadata(&path)?.modified()?));
        Ok(Bucket { name, creation_date, ..Bucket::default() })
    };
    let paths = files.record(dir_entries(&files.layout.buckets()))?;
    let mut buckets: Vec<Bucket> = files.record(paths.into_iter().map(describe).collect())?;
    buckets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(ListBucketsOutput { buckets: Some(buckets), ..ListBucketsOutput::default() })
}
