//! Compare what a worker says of an object with the object, before a row says so too (docs/adr/0005-results-are-compared.md).

use crate::domain::messages::file_created::{FileResult, Outcome};
use crate::domain::{Error, ErrorCode, File, Result};
use crate::storage::{Storage, StorageError, Stored, object_keys};

/// Larger objects are not read for their digest: what others say of it is not kept then.
const READ_MAX: i64 = 64 << 20;

/// Proof that a worker of ours adds to a completed result; `None` for other workers, and while a member is missing.
pub(in crate::actions) fn proof(storage: &Storage, result: &FileResult) -> Option<String> {
    with_parts(result, |parts| storage.proof(parts))
}

fn is_proven(storage: &Storage, result: &FileResult) -> bool {
    let Some(proof) = &result.proof else { return false };
    with_parts(result, |parts| storage.is_proven(parts, proof)).unwrap_or(false)
}

fn with_parts<T>(result: &FileResult, parts: impl FnOnce(&[&str]) -> T) -> Option<T> {
    let FileResult { file_id, attempt, s3_location, size, sha256, .. } = result;
    let numbers = [file_id.to_string(), (*attempt)?.to_string(), (*size)?.to_string()];
    let [file_id, attempt, size] = numbers.each_ref().map(String::as_str);
    Some(parts(&[file_id, attempt, s3_location.as_deref()?, size, sha256.as_deref()?]))
}

/// A result, and why it must not change its file. One that would change nothing anyway is no trouble.
pub(in crate::actions) struct Compared {
    pub result: FileResult,
    pub refusal: Option<Error>,
}

/// Adds what the store says where the result says nothing. One that has a worker's proof is believed, for that worker has
/// asked the store itself. An error is the store's.
pub(in crate::actions) async fn compare(
    storage: &Storage,
    bucket: &str,
    mut result: FileResult,
) -> Result<Compared> {
    let location = result.s3_location.as_deref().unwrap_or_default();
    let key = object_keys::own_key(bucket, result.file_id, location).map(str::to_owned);
    let Some(key) = key.filter(|_| result.status == Outcome::Completed && !is_proven(storage, &result))
    else {
        return Ok(Compared { result, refusal: None });
    };
    let refusal = match storage.head(&key).await? {
        None => Some(format!("there is no object {location}")),
        Some(object) => {
            let said = result.size.replace(object.size).filter(|size| *size != object.size);
            let said = said.map(|size| format!("the object has {} bytes, not {size}", object.size));
            match said {
                None => refuse_digest(storage, &key, object.size, &mut result).await?,
                refusal => refusal,
            }
        }
    };
    let refusal = refusal.map(|why| Error::new(ErrorCode::InvalidResult, why));
    Ok(Compared { result, refusal })
}

async fn refuse_digest(
    storage: &Storage,
    key: &str,
    size: i64,
    result: &mut FileResult,
) -> Result<Option<String>> {
    let Some(said) = result.sha256.take() else { return Ok(None) };
    if size > READ_MAX {
        return Ok(None);
    }
    let found = match storage.digest(key).await {
        Err(StorageError::NotFound(_)) => return Ok(Some("its object was removed just now".to_owned())),
        stored => stored?.sha256,
    };
    if found != said {
        return Ok(Some(format!("the object has the SHA-256 {found}, not {said}")));
    }
    result.sha256 = Some(said);
    Ok(None)
}

/// Compares the file's object with its row; true when it is there and equal.
pub(in crate::actions) async fn is_intact(storage: &Storage, bucket: &str, file: &File) -> Result<bool> {
    let location = file.s3_location.as_deref().unwrap_or_default();
    let Some(key) = object_keys::own_key(bucket, file.id, location) else { return Ok(false) };
    let Some(object) = storage.head(key).await? else { return Ok(false) };
    if file.size.is_some_and(|size| size != object.size) {
        return Ok(false);
    }
    let Some(sha256) = &file.sha256 else { return Ok(true) };
    match storage.digest(key).await {
        Ok(Stored { sha256: found, .. }) => Ok(found == *sha256),
        Err(StorageError::NotFound(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
