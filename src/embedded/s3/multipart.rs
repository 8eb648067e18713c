//! Multipart uploads: a directory for each, with its parts, which are joined to one object at the end. All functions
//! block.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use s3s::crypto::{Checksum, Md5};
use s3s::dto::{CompletedMultipartUpload, ETag, MultipartUpload, Part, StorageClass, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::dir_entries::dir_entries;
use super::files::{Conditions, Files, Staged};
use super::layout::Layout;
use super::object::{Description, Headers};
use super::parts::{self, MIN_PART_SIZE, Parts, StoredPart};
use super::put::Received;
use super::{hex, make_dir};

const MAX_PART_NUMBER: i32 = 10_000;
const UPLOAD_FILE: &str = "upload.json";

/// Multipart upload: bucket, key and headers of the object that it makes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Upload {
    pub bucket: String,
    pub key: String,
    #[serde(flatten)]
    pub headers: Headers,
}

/// Removes what a crash left of uploads that were completed or aborted.
pub(super) fn recover(layout: &Layout) -> io::Result<()> {
    for dir in dir_entries(&layout.uploads())? {
        if !dir.join(UPLOAD_FILE).exists() || Parts::read(&dir)?.are_object() {
            remove_dir(&dir)?;
        }
    }
    Ok(())
}

/// Removes the directory of an upload, unless another request has removed it.
fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn no_such_upload() -> S3Error {
    S3Error::new(S3ErrorCode::NoSuchUpload)
}

/// Returns the directory of an upload. Only a UUID is accepted, so that no id leads to another path.
fn dir(files: &Files, id: &str) -> S3Result<PathBuf> {
    let id = Uuid::try_parse(id).map_err(|_| no_such_upload())?;
    Ok(files.layout.uploads().join(id.simple().to_string()))
}

/// Starts an upload; returns its id.
pub(super) fn create(files: &Files, upload: &Upload) -> S3Result<String> {
    files.check_place(&upload.bucket, &upload.key)?;
    let id = Uuid::new_v4().simple().to_string();
    let dir = files.layout.uploads().join(&id);
    let create = || {
        let mut staged = files.stage()?;
        staged.file.write_all(&serde_json::to_vec(upload)?)?;
        make_dir(&dir)?;
        // Last: a directory without this file is no upload.
        files.name_file(staged, &dir.join(UPLOAD_FILE))?;
        files.sync_dirs([files.layout.uploads()])
    };
    files.stored(create(), 0)?;
    Ok(id)
}

/// Finds an upload, if it is one of this object.
fn find(files: &Files, bucket: &str, key: &str, id: &str) -> S3Result<(PathBuf, Upload)> {
    let dir = dir(files, id)?;
    let about = match fs::read(dir.join(UPLOAD_FILE)) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_such_upload()),
        Err(error) => return files.record(Err(error)),
    };
    let upload: Upload = serde_json::from_slice(&about).map_err(|_| no_such_upload())?;
    if upload.bucket == bucket && upload.key == key { Ok((dir, upload)) } else { Err(no_such_upload()) }
}

/// Prepares for a part: checks that it may be sent, and opens its slot if it has one.
pub(super) fn open_slot(
    files: &Files,
    (bucket, key, id): (&str, &str, &str),
    number: i32,
    size: Option<i64>,
) -> S3Result<Option<Staged>> {
    if !(1..=MAX_PART_NUMBER).contains(&number) {
        let message = "a part's number is from 1 to 10000";
        return Err(S3Error::with_message(S3ErrorCode::InvalidArgument, message));
    }
    let (dir, _) = find(files, bucket, key, id)?;
    let Some(size) = size.and_then(|size| u64::try_from(size).ok()) else { return Ok(None) };
    files.stored(parts::open_slot(files, &dir, number, size), size)
}

/// Stores a part; one that is sent again replaces the one before.
pub(super) fn store_part(
    files: &Files,
    (bucket, key, id): (&str, &str, &str),
    number: i32,
    received: Received,
) -> S3Result<ETag> {
    let (dir, _) = find(files, bucket, key, id)?;
    let (tag, size) = (ETag::Strong(received.tag.clone()), received.size);
    files.stored(parts::store(files, &dir, number, received), size)?;
    Ok(tag)
}

/// Lists the parts of an upload.
pub(super) fn list_parts(files: &Files, bucket: &str, key: &str, id: &str) -> S3Result<Vec<Part>> {
    let (dir, _) = find(files, bucket, key, id)?;
    let describe = |part: StoredPart| {
        Ok(Part {
            part_number: Some(part.number),
            size: i64::try_from(part.size()?).ok(),
            last_modified: Some(part.modified()?),
            checksum_sha256: sha256_of_tag(&part.tag),
            e_tag: Some(ETag::Strong(part.tag)),
            ..Part::default()
        })
    };
    files.record(Parts::read(&dir).and_then(|parts| parts.stored.into_iter().map(describe).collect()))
}

/// Joins the parts that the client names to the object; returns its tag.
pub(super) fn complete(
    files: &Files,
    (bucket, key, id): (&str, &str, &str),
    named: Option<CompletedMultipartUpload>,
    conditions: &Conditions,
) -> S3Result<ETag> {
    let (dir, upload) = find(files, bucket, key, id)?;
    // Before the parts are read: none is written to a slot from here on.
    let reservation = files.slots.reserve_file(&dir);
    let mut parts = files.record(Parts::read(&dir))?;
    if parts.are_object() {
        files.record(remove_dir(&dir))?;
        return Err(no_such_upload());
    }
    let named = named.and_then(|named| named.parts).unwrap_or_default();
    if named.is_empty() {
        return Err(S3Error::new(S3ErrorCode::MalformedXML));
    }
    let numbers: Vec<i32> = named.iter().filter_map(|part| part.part_number).collect();
    // As in S3: ascending, so that the order of the parts is never ambiguous.
    if numbers.len() != named.len() || !numbers.is_sorted_by(|a, b| a < b) {
        return Err(S3Error::new(S3ErrorCode::InvalidPartOrder));
    }
    let mut chosen = Vec::with_capacity(named.len());
    for part in named {
        let is_named = |stored: &StoredPart| {
            Some(stored.number) == part.part_number
                && part.e_tag.as_ref().is_none_or(|tag| tag.value() == stored.tag)
        };
        let place = parts.stored.iter().position(is_named);
        let place = place.ok_or_else(|| S3Error::new(S3ErrorCode::InvalidPart))?;
        chosen.push(parts.stored.swap_remove(place));
    }
    let (mut md5, mut size) = (Md5::new(), 0);
    for (place, part) in chosen.iter().enumerate() {
        let part_size = files.record(part.size())?;
        // As in S3, so that clients that work here work there.
        if part_size < MIN_PART_SIZE && place + 1 < chosen.len() {
            return Err(S3Error::new(S3ErrorCode::EntityTooSmall));
        }
        md5.update(&digest_of_hex(&part.tag));
        size += part_size;
    }
    let e_tag = format!("{}-{}", hex(md5.finalize().as_ref()), chosen.len());
    let joined = parts::join(files, &parts, &chosen, reservation);
    let staged = files.stored(joined, size)?;
    let Upload { bucket, key, headers } = upload;
    let description = Description { key, size, e_tag, headers, ..Description::default() };
    files.name_object(staged, &bucket, &description, conditions)?;
    // Only now: a crash before leaves the parts, and the client can complete the upload again, or it leaves the object.
    files.record(remove_dir(&dir))?;
    Ok(description.tag())
}

/// Returns the SHA-256, in Base64, that is the tag of a part; `None` where the tag is an MD5.
fn sha256_of_tag(tag: &str) -> Option<String> {
    (tag.len() == 64).then(|| BASE64_STANDARD.encode(digest_of_hex(tag)))
}

fn digest_of_hex(text: &str) -> Vec<u8> {
    let pair = |place| u8::from_str_radix(text.get(place..place + 2)?, 16).ok();
    (0..text.len()).step_by(2).filter_map(pair).collect()
}

/// Aborts an upload and removes its parts.
pub(super) fn abort(files: &Files, bucket: &str, key: &str, id: &str) -> S3Result<()> {
    let (dir, _) = find(files, bucket, key, id)?;
    files.record(remove_dir(&dir))
}

/// Lists the unfinished uploads of a bucket, sorted by key and id.
pub(super) fn uploads(files: &Files, bucket: &str, prefix: &str) -> S3Result<Vec<MultipartUpload>> {
    files.check_bucket(bucket)?;
    let mut found = Vec::new();
    for dir in files.record(dir_entries(&files.layout.uploads()))? {
        let Some(id) = dir.file_name().and_then(|name| name.to_str()) else { continue };
        let about = dir.join(UPLOAD_FILE);
        let Ok(Ok(upload)) = fs::read(&about).map(|text| serde_json::from_slice::<Upload>(&text)) else {
            continue;
        };
        if upload.bucket == bucket && upload.key.starts_with(prefix) {
            let began = files.record(fs::metadata(&about).and_then(|about| about.modified()))?;
            found.push(MultipartUpload {
                key: Some(upload.key),
                upload_id: Some(id.to_owned()),
                initiated: Some(Timestamp::from(began)),
                storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
                ..MultipartUpload::default()
            });
        }
    }
    found.sort_by(|a, b| (&a.key, &a.upload_id).cmp(&(&b.key, &b.upload_id)));
    Ok(found)
}
