//! Object keys and locations: the only place that builds them, and the only one that parses them.

use super::limits;
use crate::domain::text::without_marks;
use crate::domain::{FileId, Format, Timestamp};

/// Prefix of the keys of generated files.
pub const PREFIX: &str = "files/";
/// Prefix of the keys of uploaded files.
pub const UPLOADS_PREFIX: &str = "uploads/";
/// Prefixes of all keys, sorted as text.
pub const PREFIXES: [&str; 2] = [PREFIX, UPLOADS_PREFIX];

/// Owner in the key of a file without one.
const NO_OWNER: &str = "anonymous";
/// Between a file's key and the number of its tail. No key of a file has a hyphen, so a tail's key is never taken for
/// one.
const TAIL: &str = ".tail-";

/// Builds the key of a generated file's object: `files/{id}_{slug}_{created_at in epoch ms}.{ext}`. It depends on the
/// request alone, so every attempt writes the same object.
pub fn object_key(id: FileId, title: &str, created_at: Timestamp, format: Format) -> String {
    format!("{PREFIX}{id}_{}_{}.{}", slug_or(title, "untitled"), created_at.epoch_millis(), format.name())
}

/// Builds the key of an uploaded file's object: `uploads/{owner or anonymous}/{id}/{name}`, with owner and name as slugs.
/// A short ASCII extension stays recognizable.
pub fn upload_key(id: FileId, owner: Option<&str>, name: &str) -> String {
    let owner = owner.map_or_else(|| NO_OWNER.to_owned(), |owner| slug_or(&without_marks(owner), "user"));
    let name = without_marks(name.trim());
    let (stem, extension) = with_extension(&name).unwrap_or((&name, String::new()));
    let dot = if extension.is_empty() { "" } else { "." };
    format!("{UPLOADS_PREFIX}{owner}/{id}/{}{dot}{extension}", slug_or(stem, "file"))
}

/// Builds the key of an unfinished upload's tail: what came after its last whole part. Two alternate, so that the one
/// which the row names is never overwritten.
pub fn tail_key(key: &str, number: u8) -> String {
    format!("{key}{TAIL}{}", number % 2)
}

/// Splits a name into its stem and its extension in lower case; `None` when it has none that a key may have.
fn with_extension(name: &str) -> Option<(&str, String)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let is_plain = !extension.is_empty() && extension.chars().all(|c| c.is_ascii_alphanumeric());
    (is_plain && extension.len() <= limits::MAX_EXTENSION_CHARS && !stem.is_empty())
        .then(|| (stem, extension.to_ascii_lowercase()))
}

/// Returns the text in lower case, with `_` for each run of other characters than `a-z0-9`, none at the ends, and at
/// most 80 characters.
fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()));
    let joined = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    joined[..joined.len().min(limits::MAX_SLUG_CHARS)].trim_end_matches('_').to_owned()
}

fn slug_or(text: &str, default: &str) -> String {
    let slug = slug(text);
    if slug.is_empty() { default.to_owned() } else { slug }
}

/// Returns the location of an object as the API shows it: `s3://bucket/key`.
pub fn location(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

/// Returns the key of a location if it lies in `bucket` and can be this file's; `None` for every other location, which
/// must not be trusted. A tail is not accepted: it is never the whole of a file.
pub fn own_key<'a>(bucket: &str, id: FileId, location: &'a str) -> Option<&'a str> {
    let key = location.strip_prefix("s3://")?.strip_prefix(bucket)?.strip_prefix('/')?;
    let is_own = is_generated(key, id) || is_uploaded(key, id);
    (is_own && location.len() <= limits::MAX_LOCATION_BYTES).then_some(key)
}

/// Tells whether the key can be that of this generated file. Only its beginning is compared: workers of the source
/// system end their keys with a time of their own.
fn is_generated(key: &str, id: FileId) -> bool {
    let name = key.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(&format!("{id}_")));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    name.is_some_and(|name| !name.is_empty() && !name.contains("..") && name.chars().all(is_plain))
}

/// Tells whether the key is one that `upload_key` can have built for this file.
fn is_uploaded(key: &str, id: FileId) -> bool {
    let is_slug = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let Some((owner, number, name)) = upload_parts(key) else { return false };
    let (stem, extension) = name.split_once('.').unwrap_or((name, "none"));
    number == id.to_string() && is_slug(owner) && is_slug(stem) && is_slug(extension)
}

/// Splits an upload's key into owner, file id and name.
fn upload_parts(key: &str) -> Option<(&str, &str, &str)> {
    let (owner, rest) = key.strip_prefix(UPLOADS_PREFIX)?.split_once('/')?;
    let (id, name) = rest.split_once('/')?;
    Some((owner, id, name))
}

/// Returns the file that a listed key belongs to, as its object or as a tail of its upload; `None` when it can't be any
/// file's.
pub fn owner(bucket: &str, key: &str) -> Option<FileId> {
    let whole = tail_of(key).unwrap_or(key);
    let id = match upload_parts(whole) {
        Some((_, id, _)) => id,
        None => key.strip_prefix(PREFIX)?.split_once('_')?.0,
    };
    let id = id.parse().ok()?;
    own_key(bucket, id, &location(bucket, whole)).map(|_| id)
}

/// Returns the key of the file that a tail belongs to; `None` when the key is not a tail's.
pub fn tail_of(key: &str) -> Option<&str> {
    let whole = key.strip_suffix('0').or_else(|| key.strip_suffix('1'))?.strip_suffix(TAIL)?;
    upload_parts(whole).map(|_| whole)
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
        let key = object_key(FileId(1), "…/../😀", created_at(), Format::Txt);
        assert_eq!(key, "files/1_untitled_1767398400000.txt");
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

    #[test]
    fn the_key_of_an_upload_keeps_what_ascii_can_of_its_owner_and_name() {
        for (owner, name, expected) in [
            (None, "Ünser Photo.JPG", "anonymous/7/unser_photo.jpg"),
            (Some("Zoë Müller"), "a.tar.gz", "zoe_muller/7/a_tar.gz"),
            (Some("日本"), "日本.pdf", "user/7/file.pdf"),
            (Some(""), "", "user/7/file"),
            (Some("../.."), "../../etc/passwd", "user/7/etc_passwd"),
            (Some("anonymous"), ".bashrc", "anonymous/7/bashrc"),
            (None, "con.txt", "anonymous/7/con.txt"),
            (None, "name.", "anonymous/7/name"),
            (None, "no type", "anonymous/7/no_type"),
            (None, "a.b c", "anonymous/7/a_b_c"),
            (None, "x.tail-0", "anonymous/7/x_tail_0"),
            (None, "x.seventeen12345678", "anonymous/7/x_seventeen12345678"),
            (None, "ﬁle №1.ｔｘｔ", "anonymous/7/file_no1.txt"),
        ] {
            assert_eq!(upload_key(FileId(7), owner, name), format!("uploads/{expected}"), "{name}");
        }
    }

    #[test]
    fn only_a_whole_upload_of_this_file_is_its_location() {
        let own = |key: &str| own_key("b-1", FileId(4), &location("b-1", key)).is_some();
        assert!(own("uploads/anonymous/4/x.txt") && own("uploads/a/4/x"));
        for foreign in [
            "uploads/a/4/x.txt.tail-0",
            "uploads/a/4/x.tail-1",
            "uploads/a/5/x.txt",
            "uploads/a/04/x.txt",
            "uploads//4/x.txt",
            "uploads/a/4/",
            "uploads/a/4",
            "uploads/a/4/x.",
            "uploads/a/4/.txt",
            "uploads/a/4/..",
            "uploads/../4/x",
            "uploads/a/b/4/x",
            "uploads/a/4/b/x",
            "uploads/a/4/../../5/x",
            "uploads/a/4/x.tar.gz",
            "uploads/A/4/x",
            "uploads/a/4/é",
            "files/uploads/a/4/x",
        ] {
            assert!(!own(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_tail_belongs_to_its_file() {
        let key = upload_key(FileId(4), Some("a"), "x.txt");
        for number in [0, 1] {
            let tail = tail_key(&key, number);
            assert_eq!((tail_of(&tail), owner("b-1", &tail)), (Some(key.as_str()), Some(FileId(4))));
        }
        for other in ["uploads/a/4/x.txt.tail-2", "uploads/a/4/x.txt.tail-", "uploads/a/4/.tail-0"] {
            assert_eq!(owner("b-1", other), None, "{other}");
        }
        assert_eq!(tail_of(&key), None);
        assert_eq!(tail_of("files/4_x.tail-0"), None, "generated files have no tails");
    }

    #[test]
    fn listings_of_all_prefixes_one_after_the_other_are_sorted() {
        assert!(PREFIXES.is_sorted());
    }

    proptest! {
        #[test]
        fn every_key_of_an_upload_is_one_we_accept(
            owner_name in proptest::option::of("\\PC{0,255}"),
            name in any::<String>(),
            id in 1..i64::MAX,
        ) {
            let bucket = "x".repeat(63);
            let key = upload_key(FileId(id), owner_name.as_deref(), &name);
            let at = location(&bucket, &key);
            prop_assert_eq!(own_key(&bucket, FileId(id), &at), Some(key.as_str()));
            prop_assert_eq!(owner(&bucket, &key), Some(FileId(id)));
            for number in [0, 1] {
                let tail = tail_key(&key, number);
                let at = location(&bucket, &tail);
                prop_assert!(at.len() <= 500);
                prop_assert_eq!(own_key(&bucket, FileId(id), &at), None);
                prop_assert_eq!(owner(&bucket, &tail), Some(FileId(id)));
            }
        }

        #[test]
        fn no_text_is_taken_for_a_key_that_leaves_its_folder(rest in "[a-z0-9_./%-]{0,40}", id in 1..99_i64) {
            let at = format!("s3://b-1/uploads/a/{id}/{rest}");
            if let Some(key) = own_key("b-1", FileId(id), &at) {
                prop_assert_eq!(key.split('/').count(), 4);
                prop_assert!(!key.contains("..") && tail_of(key).is_none());
            }
        }

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
