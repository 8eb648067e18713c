//! Object keys and locations: the only place that builds them, and the only one that parses them.

use super::limits;
use crate::domain::{FileId, Format, Timestamp};

/// Prefix of every key.
pub const PREFIX: &str = "files/";

/// Builds the key of a file's object: `files/{id}_{slug}_{created_at in epoch ms}.{ext}`. It depends on the request
/// alone, so every attempt writes the same object.
pub fn object_key(id: FileId, title: &str, created_at: Timestamp, format: Format) -> String {
    format!("{PREFIX}{id}_{}_{}.{}", slug(title), created_at.epoch_millis(), format.name())
}

/// Returns the title in lower case, with `_` for each run of other characters than `a-z0-9`, none at the ends, and at
/// most 80 characters.
fn slug(title: &str) -> String {
    let lower = title.to_lowercase();
    let words = lower.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()));
    let joined = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    let cut = joined[..joined.len().min(limits::MAX_SLUG_CHARS)].trim_end_matches('_');
    if cut.is_empty() { "untitled".to_owned() } else { cut.to_owned() }
}

/// Returns the location of an object as the API shows it: `s3://bucket/key`.
pub fn location(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

/// Returns the key of a location if it lies in `bucket` and can be this file's; `None` for every other location, which
/// must not be trusted. Only the beginning is compared: workers of the source system end their keys with a time of
/// their own.
pub fn own_key<'a>(bucket: &str, id: FileId, location: &'a str) -> Option<&'a str> {
    let key = location.strip_prefix("s3://")?.strip_prefix(bucket)?.strip_prefix('/')?;
    let name = key.strip_prefix(PREFIX)?.strip_prefix(&format!("{id}_"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty()
        && !name.contains("..")
        && name.chars().all(plain)
        && location.len() <= limits::MAX_LOCATION_BYTES)
        .then_some(key)
}

/// Returns the file that a listed key belongs to; `None` when it can't be any file's.
pub fn owner(bucket: &str, key: &str) -> Option<FileId> {
    let (id, _) = key.strip_prefix(PREFIX)?.split_once('_')?;
    let id = id.parse().ok()?;
    own_key(bucket, id, &location(bucket, key)).map(|_| id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn created_at() -> Timestamp {
        serde_json::from_str("\"2026-01-03T00:00:00.000Z\"").unwrap()
    }

    #[test]
    fn the_key_is_the_contracts_example() {
        let key = object_key(FileId(1), "My Important Document", created_at(), Format::Txt);
        assert_eq!(key, "files/1_my_important_document_1767398400000.txt");
    }

    #[test]
    fn a_title_without_alphanumeric_characters_is_untitled() {
        assert_eq!(slug("…/../😀"), "untitled");
        assert_eq!(slug("../../etc/passwd"), "etc_passwd");
        assert_eq!(slug(&"a!".repeat(100)), format!("{}a", "a_".repeat(39)));
    }

    #[test]
    fn a_location_outside_our_bucket_or_of_another_file_is_not_ours() {
        let own = |location| own_key("b-1", FileId(4), location);
        assert_eq!(own("s3://b-1/files/4_x_1.txt"), Some("files/4_x_1.txt"));
        for foreign in [
            "s3://b-2/files/4_x_1.txt",
            "s3://b-1/files/42_x_1.txt",
            "s3://b-1/files/4_",
            "s3://b-1/files/4_/../../5_x",
            "s3://b-1/other/4_x_1.txt",
            "s3://b-1x/files/4_x_1.txt",
            "https://b-1/files/4_x_1.txt",
            "s3://b-1/files/4_x\n1.txt",
            "",
        ] {
            assert_eq!(own(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_key_that_is_not_one_of_ours_has_no_owner() {
        assert_eq!(owner("b-1", "files/4_x_1.txt"), Some(FileId(4)));
        for foreign in
            ["files/4", "files/_x", "files/04_x", "files/x_4", "files/4_", "files/4_a/b", "files/4_é", "4_x"]
        {
            assert_eq!(owner("b-1", foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn every_key_we_make_is_one_we_accept(title in "\\PC{1,255}", id in 1..i64::MAX) {
            let key = object_key(FileId(id), &title, created_at(), Format::Txt);
            let location = location("file-storage-bucket", &key);
            prop_assert!(location.len() <= 500);
            prop_assert_eq!(own_key("file-storage-bucket", FileId(id), &location), Some(key.as_str()));
            prop_assert_eq!(owner("file-storage-bucket", &key), Some(FileId(id)));
        }
    }
}
