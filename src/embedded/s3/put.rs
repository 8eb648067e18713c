//! Small objects, written in one go: the very files that `s3s-fs` makes of them in a dozen steps, each of which wakes
//! another thread.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use s3s::crypto::{Checksum, Md5, Sha256};
use s3s::dto::{ETag, PutObjectInput, PutObjectOutput, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::dir_sync::DirSync;
use super::store::sidecars;

/// Bytes of a small one.
const SMALL: i64 = 256 << 10;

/// Whether it asks for nothing but to keep these bytes under this key, with a type and their digests.
pub(super) fn is_plain(request: &S3Request<PutObjectInput>) -> bool {
    let input = &request.input;
    let asks_for_more = [
        request.trailing_headers.is_some(),
        input.cache_control.is_some(),
        input.checksum_algorithm.is_some(),
        input.checksum_crc32.is_some(),
        input.checksum_crc32c.is_some(),
        input.checksum_crc64nvme.is_some(),
        input.checksum_sha1.is_some(),
        input.content_disposition.is_some(),
        input.content_encoding.is_some(),
        input.content_language.is_some(),
        input.expires.is_some(),
        input.if_match.is_some(),
        input.if_none_match.is_some(),
        input.metadata.is_some(),
        input.storage_class.is_some(),
        input.website_redirect_location.is_some(),
    ];
    let is_inside =
        |path: &str| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    !asks_for_more.contains(&true)
        && input.content_length.is_some_and(|length| length <= SMALL)
        && is_inside(&input.bucket)
        && is_inside(&input.key)
        && !input.key.ends_with('/')
}

/// Once this returns, the object and what describes it are there, whole; with `dirs` they survive a power cut.
pub(super) async fn put(
    root: &Path,
    dirs: Option<Arc<DirSync>>,
    input: PutObjectInput,
) -> S3Result<PutObjectOutput> {
    let body = input.body.ok_or_else(|| S3Error::new(S3ErrorCode::IncompleteBody))?;
    let bytes = read(body, input.content_length).await?;
    let md5 = Md5::checksum(&bytes);
    let e_tag = hex(&md5);
    let sha256 = input.checksum_sha256;
    let differs = |sent: Option<&String>, digest: &[u8]| {
        sent.is_some_and(|sent| *sent != BASE64_STANDARD.encode(digest))
    };
    if differs(input.content_md5.as_ref(), &md5) || differs(sha256.as_ref(), &Sha256::checksum(&bytes)) {
        return Err(S3Error::with_message(
            S3ErrorCode::BadDigest,
            "these are other bytes than the digest is of",
        ));
    }
    let mut internal = serde_json::json!({ "e_tag": e_tag });
    if let Some(sha256) = &sha256 {
        internal["checksum_sha256"] = sha256.as_str().into();
    }
    let metadata = match input.content_type {
        Some(content_type) => serde_json::json!({ "content_type": content_type }),
        None => serde_json::json!({}),
    };
    let [metadata_path, internal_path] = sidecars(root, &input.bucket, &input.key);
    let bucket = root.join(&input.bucket);
    // As S3 has it; a key's folders would make the bucket.
    if !bucket.is_dir() {
        return Err(S3Error::new(S3ErrorCode::NoSuchBucket));
    }
    let files = Files {
        root: root.to_owned(),
        object: (bucket.join(&input.key), bytes),
        sidecars: [
            (metadata_path, metadata.to_string().into()),
            (internal_path, internal.to_string().into()),
        ],
        dirs,
    };
    let written = tokio::task::spawn_blocking(move || files.write()).await;
    written.map_err(S3Error::internal_error)?.map_err(S3Error::internal_error)?;
    Ok(PutObjectOutput {
        e_tag: Some(ETag::Strong(e_tag)),
        checksum_sha256: sha256,
        ..PutObjectOutput::default()
    })
}

async fn read(mut body: StreamingBlob, length: Option<i64>) -> S3Result<Bytes> {
    let mut bytes =
        BytesMut::with_capacity(length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
    let failed = |error| S3Error::with_source(S3ErrorCode::IncompleteBody, error);
    while let Some(piece) = body.try_next().await.map_err(failed)? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

struct Files {
    root: PathBuf,
    object: (PathBuf, Bytes),
    sidecars: [(PathBuf, Bytes); 2],
    /// With full durability.
    dirs: Option<Arc<DirSync>>,
}

impl Files {
    /// The object comes last: as long as it isn't there, nobody reads what describes it.
    fn write(self) -> io::Result<()> {
        for (path, content) in &self.sidecars {
            match self.fill(File::create_new(path), content) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.replace(path, content)?,
                written => written?,
            }
        }
        let (path, content) = &self.object;
        self.replace(path, content)?;
        let Some(dirs) = &self.dirs else { return Ok(()) };
        let above = path.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.root));
        dirs.sync(above.map(Path::to_owned))
    }

    fn fill(&self, file: io::Result<File>, content: &[u8]) -> io::Result<()> {
        let mut file = file?;
        file.write_all(content)?;
        if self.dirs.is_some() { file.sync_all() } else { Ok(()) }
    }

    /// Under its name there is either what was there before or all of this.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // What is left of it when it is cut off goes when the store is opened again.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let part = self.root.join(format!(".tmp.small-{number}.internal.part"));
        let write = || {
            self.fill(File::create(&part), content)?;
            match fs::rename(&part, path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
                    fs::rename(&part, path)
                }
                renamed => renamed,
            }
        };
        write().inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
