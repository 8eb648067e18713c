//! Layout of the directory: one file for each object, spread over directories by the digest of its key.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use s3s::crypto::{Checksum, Sha256};

use super::{hex, make_dir};

/// Directory of the current layout, beside the buckets of older releases, whose names never begin with a dot.
const CURRENT_LAYOUT: &str = ".v2";
/// Maximum length of a file's name on common file systems.
const MAX_NAME_BYTES: usize = 255;
/// Prefix of the name of an object whose key is too long for a name; the key's digest follows. No encoded key begins
/// like this.
const DIGEST_PREFIX: &str = "%~";

/// Paths below `objects`.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Buckets and objects of older releases.
    pub old: PathBuf,
    current: PathBuf,
}

impl Layout {
    /// Makes the directories that are missing, and removes staged files.
    pub fn open(root: &Path) -> io::Result<Self> {
        let layout = Self { old: root.to_owned(), current: root.join(CURRENT_LAYOUT) };
        for dir in [layout.current.clone(), layout.buckets(), layout.uploads(), layout.arrived()] {
            make_dir(&dir)?;
        }
        // Left behind by interrupted writes.
        match fs::remove_dir_all(layout.staging()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        make_dir(&layout.staging())?;
        Ok(layout)
    }

    /// Returns the directory of the current layout.
    pub fn root(&self) -> &Path {
        &self.current
    }

    /// Returns the directory of all buckets.
    pub fn buckets(&self) -> PathBuf {
        self.current.join("buckets")
    }

    /// Returns the directory of a bucket.
    pub fn bucket(&self, bucket: &str) -> PathBuf {
        self.buckets().join(bucket)
    }

    /// Returns the directory of files that are being written.
    pub fn staging(&self) -> PathBuf {
        self.current.join("staging")
    }

    /// Returns the directory of complete, durable objects on their way to their buckets.
    pub fn arrived(&self) -> PathBuf {
        self.current.join("arrived")
    }

    /// Returns the directory of multipart uploads.
    pub fn uploads(&self) -> PathBuf {
        self.current.join("uploads")
    }

    /// Returns the path of an object, in one of 256 directories of the bucket; each is made with its first object.
    pub fn object(&self, bucket: &str, key: &str) -> PathBuf {
        let digest = Sha256::checksum(key.as_bytes());
        let name = encoded(key);
        let name = if name.len() <= MAX_NAME_BYTES {
            name
        } else {
            format!("{DIGEST_PREFIX}{}", hex(&digest)).into()
        };
        self.bucket(bucket).join(hex(&digest[..1])).join(&*name)
    }

    /// Returns the path of the object in the layout of older releases: its key. `None` for a key that can't be a path.
    pub fn old_object(&self, bucket: &str, key: &str) -> Option<PathBuf> {
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        key.split('/').all(is_plain).then(|| self.old.join(bucket).join(key))
    }
}

/// Tells whether S3 allows this bucket name; no such name has a special meaning for a file system.
pub(super) fn is_bucket_name(name: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_inner = |c: char| is_outer(c) || c == '-' || c == '.';
    (3..=63).contains(&name.len())
        && name.chars().all(is_inner)
        && name.starts_with(is_outer)
        && name.ends_with(is_outer)
        && !name.contains("..")
}

/// Tells whether objects may have this key. Other keys would lead out of the bucket in clients and tools that use them
/// as paths.
pub(super) fn is_key(key: &str) -> bool {
    !key.is_empty() && !key.contains('\0') && key.split('/').all(|part| !matches!(part, "." | ".."))
}

/// Encodes a key as a file name: characters that a name can't have are written as in a URL.
fn encoded(key: &str) -> Cow<'_, str> {
    let is_plain =
        |(place, c): (usize, char)| !(matches!(c, '/' | '%') || c.is_control() || (place == 0 && c == '.'));
    if key.char_indices().all(is_plain) && !key.is_empty() {
        return key.into();
    }
    let mut name = String::with_capacity(key.len() + 16);
    for (place, c) in key.char_indices() {
        if is_plain((place, c)) {
            name.push(c);
        } else {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                name.push('%');
                name.push_str(&hex(&[byte]).to_uppercase());
            }
        }
    }
    name.into()
}

/// Decodes a file's name to its key, in `buffer`; `None` when the name is a digest, so that the key is in the file
/// only.
pub(super) fn decode<'a>(name: &str, buffer: &'a mut Vec<u8>) -> Option<&'a str> {
    if name.starts_with(DIGEST_PREFIX) {
        return None;
    }
    buffer.clear();
    let mut pieces = name.split('%');
    buffer.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let (digits, plain) = piece.split_at_checked(2)?;
        buffer.push(u8::from_str_radix(digits, 16).ok()?);
        buffer.extend_from_slice(plain.as_bytes());
    }
    std::str::from_utf8(buffer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_file_of_its_own_inside_of_its_bucket() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let long = "x".repeat(1024);
        let keys = [
            "a",
            "a/b",
            "a/",
            "/a",
            "//",
            "/",
            ".",
            "..",
            "../x",
            "a/../b",
            "./a",
            "%2e%2e",
            "%2E",
            "%",
            "a%b",
            "a b",
            "é/日本",
            "a\0b",
            "a\nb",
            ".hidden",
            "%~",
            &long,
            &long[1..],
            "~",
            "a\u{7f}",
        ];
        let mut seen = std::collections::BTreeSet::new();
        for key in keys {
            let path = layout.object("bucket", key);
            assert!(seen.insert(path.clone()), "{key:?}");
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(path.parent().unwrap().parent(), Some(&*layout.bucket("bucket")), "{key:?}");
            assert!(name.len() <= MAX_NAME_BYTES && !name.starts_with('.'), "{name}");
            make_dir(&layout.bucket("bucket")).unwrap();
            make_dir(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            assert_eq!(decode(name, &mut Vec::new()), (key.len() < 1000).then_some(key));
        }
    }

    #[test]
    fn keys_that_would_lead_out_of_a_directory_are_refused() {
        for key in ["", ".", "..", "../x", "x/..", "a/../b", "a/./b", "/..", "a\0b"] {
            assert!(!is_key(key), "{key:?}");
        }
        for key in ["a", "...", "..a", "a../b", "/a", "a//b", "a/", "%2e%2e", ".v2", "a\nb"] {
            assert!(is_key(key), "{key:?}");
        }
    }

    #[test]
    fn no_bucket_is_called_like_a_path() {
        for name in
            ["", "..", ".", "...", "a/b", ".v2", "../x", "a..b", "A", "ab", "a\0b", "-ab", "ab-", "a_b"]
        {
            assert!(!is_bucket_name(name), "{name:?}");
        }
        assert!(is_bucket_name("file-storage-bucket") && is_bucket_name("a.b"));
    }

    #[test]
    fn only_keys_that_were_paths_are_looked_for_where_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        for key in ["..", "../x", "a/../b", "a//b", "/a", "a/", "", "a\0"] {
            assert_eq!(layout.old_object("bucket", key), None, "{key:?}");
        }
        assert_eq!(layout.old_object("bucket", "a/b"), Some(dir.path().join("bucket/a/b")));
    }
}
