//! Multipart uploads: a directory for each, with a file for each part, which are joined to one object at the end. All
//! functions block.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use s3s::crypto::{Checksum, Md5};
use s3s::dto::{CompletedMultipartUpload, ETag, MultipartUpload, Part, StorageClass, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::dir_entries::dir_entries;
use super::files::{Conditions, Files};
use super::object::{Description, Headers};
use super::put::{Received, append};
use super::{hex, make_dir};

const MAX_PART_NUMBER: i32 = 10_000;
/// Minimum size of every part but the last.
const MIN_PART_SIZE: u64 = 5 << 20;
const UPLOAD_FILE: &str = "upload.json";

/// Multipart upload: bucket, key and headers of the object that it makes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Upload {
    pub bucket: String,
    pub key: String,
    #[serde(flatten)]
    pub headers: Headers,
}

/// Part of an upload; number and digest are in its file's name.
struct StoredPart {
    number: i32,
    md5: String,
    path: PathBuf,
}

impl StoredPart {
    fn of(path: PathBuf) -> Option<Self> {
        let (number, md5) = path.file_name()?.to_str()?.split_once('-')?;
        let (number, md5) = (number.parse().ok()?, md5.to_owned());
        Some(Self { number, md5, path })
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

/// Checks that a part may be sent to an upload.
pub(super) fn check(files: &Files, (bucket, key, id): (&str, &str, &str), number: i32) -> S3Result<()> {
    if !(1..=MAX_PART_NUMBER).contains(&number) {
        let message = "a part's number is from 1 to 10000";
        return Err(S3Error::with_message(S3ErrorCode::InvalidArgument, message));
    }
    find(files, bucket, key, id).map(drop)
}

/// Stores a part; one that is sent again replaces the one before.
pub(super) fn store_part(
    files: &Files,
    (bucket, key, id): (&str, &str, &str),
    number: i32,
    received: Received,
) -> S3Result<ETag> {
    let (dir, _) = find(files, bucket, key, id)?;
    let store = || {
        let path = dir.join(format!("{number:05}-{}", received.md5));
        files.name_file(received.staged, &path)?;
        // After the new part is durable: a crash in between leaves both, and the client names one by its tag.
        for other in stored(&dir)?.into_iter().filter(|part| part.number == number && part.path != path) {
            fs::remove_file(other.path)?;
        }
        Ok(())
    };
    let size = received.size;
    files.stored(store(), size)?;
    Ok(ETag::Strong(received.md5))
}

/// Lists the stored parts, sorted by number.
fn stored(dir: &std::path::Path) -> io::Result<Vec<StoredPart>> {
    let mut parts: Vec<StoredPart> = dir_entries(dir)?.into_iter().filter_map(StoredPart::of).collect();
    parts.sort_by(|a, b| (a.number, &a.md5).cmp(&(b.number, &b.md5)));
    Ok(parts)
}

/// Lists the parts of an upload.
pub(super) fn parts(files: &Files, bucket: &str, key: &str, id: &str) -> S3Result<Vec<Part>> {
    let (dir, _) = find(files, bucket, key, id)?;
    let describe = |part: StoredPart| {
        let metadata = fs::metadata(&part.path)?;
        Ok(Part {
            part_number: Some(part.number),
            e_tag: Some(ETag::Strong(part.md5)),
            size: i64::try_from(metadata.len()).ok(),
            last_modified: Some(Timestamp::from(metadata.modified()?)),
            ..Part::default()
        })
    };
    files.record(stored(&dir).and_then(|parts| parts.into_iter().map(describe).collect()))
}

/// Joins the parts that the client names to the object; returns its tag.
pub(super) fn complete(
    files: &Files,
    (bucket, key, id): (&str, &str, &str),
    named: Option<CompletedMultipartUpload>,
    conditions: &Conditions,
) -> S3Result<ETag> {
    let (dir, upload) = find(files, bucket, key, id)?;
    let mut stored = files.record(stored(&dir))?;
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
                && part.e_tag.as_ref().is_none_or(|tag| tag.value() == stored.md5)
        };
        let place = stored.iter().position(is_named).ok_or_else(|| S3Error::new(S3ErrorCode::InvalidPart))?;
        chosen.push(stored.swap_remove(place));
    }
    let (mut md5, mut size) = (Md5::new(), 0);
    let mut sizes = Vec::with_capacity(chosen.len());
    for (place, part) in chosen.iter().enumerate() {
        let length = files.record(fs::metadata(&part.path))?.len();
        // As in S3, so that clients that work here work there.
        if length < MIN_PART_SIZE && place + 1 < chosen.len() {
            return Err(S3Error::new(S3ErrorCode::EntityTooSmall));
        }
        md5.update(&digest_of_hex(&part.md5));
        sizes.push(length);
        size += length;
    }
    let e_tag = format!("{}-{}", hex(md5.finalize().as_ref()), chosen.len());
    let join = || {
        let mut staged = files.stage()?;
        for (part, length) in chosen.iter().zip(sizes) {
            append(&mut staged, &File::open(&part.path)?, length)?;
        }
        Ok(staged)
    };
    let staged = files.stored(join(), size)?;
    let Upload { bucket, key, headers } = upload;
    let description = Description { key, size, e_tag, headers, ..Description::default() };
    files.name_object(staged, &bucket, &description, conditions)?;
    // Only now: a crash before leaves both, and the client can complete the upload again.
    files.record(fs::remove_dir_all(&dir))?;
    Ok(description.tag())
}

fn digest_of_hex(text: &str) -> Vec<u8> {
    let pair = |place| u8::from_str_radix(text.get(place..place + 2)?, 16).ok();
    (0..text.len()).step_by(2).filter_map(pair).collect()
}

/// Aborts an upload and removes its parts.
pub(super) fn abort(files: &Files, bucket: &str, key: &str, id: &str) -> S3Result<()> {
    let (dir, _) = find(files, bucket, key, id)?;
    files.record(fs::remove_dir_all(dir))
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
