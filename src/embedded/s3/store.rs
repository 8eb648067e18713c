//! `s3s-fs`, which writes objects atomically but leaves them in the page cache, made to survive a power cut.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CreateBucketInput, CreateBucketOutput,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput,
    ListBucketsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    ListPartsInput, ListPartsOutput, PutObjectInput, PutObjectOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;

use super::dir_sync::{self, DirSync};
use super::{listing, put};
use crate::embedded::{Durability, EmbeddedError};

#[derive(Debug)]
pub(super) struct Store {
    files: FileSystem,
    root: PathBuf,
    /// With full durability.
    dirs: Option<Arc<DirSync>>,
}

impl Store {
    /// Removes what writes that were cut off left behind.
    pub fn open(root: &Path, durability: Durability) -> Result<Self, EmbeddedError> {
        let files = FileSystem::new(root)
            .map_err(|error| EmbeddedError::io(root)(io::Error::other(format!("{error:?}"))))?;
        let dirs = (durability == Durability::Full).then(Arc::default);
        Ok(Self { files, root: root.to_owned(), dirs })
    }

    /// Once this returns, the object and what describes it survive a power cut.
    async fn sync(&self, bucket: &str, key: &str) -> S3Result<()> {
        let Some(dirs) = self.dirs.clone() else { return Ok(()) };
        let object = self.root.join(bucket).join(key);
        let sidecars = sidecars(&self.root, bucket, key);
        let above = object.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.root));
        let above: Vec<PathBuf> = above.map(Path::to_owned).collect();
        let sync = move || {
            [object].iter().chain(&sidecars).try_for_each(|path| dir_sync::sync(path))?;
            dirs.sync(above)
        };
        let synced = tokio::task::spawn_blocking(sync).await.map_err(S3Error::internal_error)?;
        synced.map_err(S3Error::internal_error)
    }

    async fn list(
        &self,
        input: ListObjectsV2Input,
        bucket: PathBuf,
        max: usize,
    ) -> Reply<ListObjectsV2Output> {
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().max(input.start_after.clone());
        let page = move || listing::page(&bucket, &prefix, after.as_deref(), max);
        let page = tokio::task::spawn_blocking(page).await.map_err(S3Error::internal_error)?;
        let (objects, next) = page.map_err(S3Error::internal_error)?;
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            encoding_type: input.encoding_type,
            key_count: i32::try_from(objects.len()).ok(),
            max_keys: i32::try_from(max).ok(),
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(objects).filter(|objects| !objects.is_empty()),
            ..ListObjectsV2Output::default()
        }))
    }

    /// `s3s-fs` deletes the object alone.
    fn remove_sidecars(&self, bucket: &str, key: &str) {
        for path in sidecars(&self.root, bucket, key) {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                log::warn!(path = path.display().to_string(), error = error.to_string(); "file of a deleted object stays");
            }
        }
    }
}

/// Where `s3s-fs` keeps an object's headers, and its checksums and `ETag`.
pub(super) fn sidecars(root: &Path, bucket: &str, key: &str) -> [PathBuf; 2] {
    let bucket = BASE64_URL_SAFE_NO_PAD.encode(bucket);
    let key = BASE64_URL_SAFE_NO_PAD.encode(key);
    ["metadata", "internal"].map(|kind| root.join(format!(".bucket-{bucket}.object-{key}.{kind}.json")))
}

type Reply<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Store {
    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Reply<PutObjectOutput> {
        if put::is_plain(&req) {
            return put::put(&self.root, self.dirs.clone(), req.input).await.map(S3Response::new);
        }
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        // As S3 has it; the store below would make the bucket.
        if !tokio::fs::try_exists(self.root.join(&bucket)).await.unwrap_or(false) {
            return Err(S3Error::new(S3ErrorCode::NoSuchBucket));
        }
        let reply = self.files.put_object(req).await?;
        self.sync(&bucket, &key).await?;
        Ok(reply)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Reply<CompleteMultipartUploadOutput> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        let reply = self.files.complete_multipart_upload(req).await?;
        self.sync(&bucket, &key).await?;
        Ok(reply)
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> Reply<CopyObjectOutput> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        let reply = self.files.copy_object(req).await?;
        self.sync(&bucket, &key).await?;
        Ok(reply)
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Reply<DeleteObjectOutput> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        let reply = self.files.delete_object(req).await?;
        self.remove_sidecars(&bucket, &key);
        Ok(reply)
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> Reply<DeleteObjectsOutput> {
        let bucket = req.input.bucket.clone();
        let reply = self.files.delete_objects(req).await?;
        for key in reply.output.deleted.iter().flatten().filter_map(|deleted| deleted.key.as_ref()) {
            self.remove_sidecars(&bucket, key);
        }
        Ok(reply)
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> Reply<CreateBucketOutput> {
        self.files.create_bucket(req).await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Reply<HeadBucketOutput> {
        self.files.head_bucket(req).await
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> Reply<GetBucketLocationOutput> {
        self.files.get_bucket_location(req).await
    }

    async fn list_buckets(&self, req: S3Request<ListBucketsInput>) -> Reply<ListBucketsOutput> {
        self.files.list_buckets(req).await
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Reply<GetObjectOutput> {
        self.files.get_object(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Reply<HeadObjectOutput> {
        self.files.head_object(req).await
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> Reply<ListObjectsOutput> {
        self.files.list_objects(req).await
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> Reply<ListObjectsV2Output> {
        let max = usize::try_from(req.input.max_keys.unwrap_or(i32::MAX)).unwrap_or_default();
        let bucket = self.root.join(&req.input.bucket);
        if req.input.delimiter.is_some() || max == 0 || !bucket.is_dir() {
            return self.files.list_objects_v2(req).await;
        }
        self.list(req.input, bucket, max.min(listing::MAX_KEYS)).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Reply<CreateMultipartUploadOutput> {
        self.files.create_multipart_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Reply<UploadPartOutput> {
        self.files.upload_part(req).await
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Reply<ListPartsOutput> {
        self.files.list_parts(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Reply<AbortMultipartUploadOutput> {
        self.files.abort_multipart_upload(req).await
    }
}
