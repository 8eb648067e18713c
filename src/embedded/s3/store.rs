//! S3 operations that clients of the embedded server use, on files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Checksum, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CreateBucketInput,
    CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteBucketInput,
    DeleteBucketOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
    DeletedObject, GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput,
    HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput,
    ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
    PutObjectInput, PutObjectOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use tokio_util::sync::CancellationToken;

use super::dir_entries::dir_entries;
use super::fields::{headers_of, with_sums};
use super::files::{Conditions, Files, blocking};
use super::layout::is_bucket_name;
use super::listing_query::ListingQuery;
use super::multipart::{self, Upload};
use super::put::{self, Expected};
use super::{get, listing_responses, make_dir, migration};
use crate::embedded::{Durability, EmbeddedError};

/// Implementation of the S3 operations.
#[derive(Debug)]
pub(super) struct Store {
    files: Arc<Files>,
}

impl Store {
    /// Opens the store, and removes what interrupted writes left behind.
    pub fn open(root: &Path, durability: Durability) -> Result<Self, EmbeddedError> {
        let files = Files::open(root, durability)?;
        multipart::recover(&files.layout).map_err(EmbeddedError::io(root))?;
        Ok(Self { files: Arc::new(files) })
    }

    /// Returns the work of moving objects of older releases, which ends at `stop`; `None` when there are none.
    pub fn migration(&self, stop: CancellationToken) -> Option<impl FnOnce() + Send + 'static> {
        let files = Arc::clone(&self.files);
        files.has_old_layout.load(Ordering::Acquire).then_some(move || migration::run(&files, &stop))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> S3Result<T> + Send + 'static,
    ) -> Reply<T> {
        blocking(&self.files, work).await.map(S3Response::new)
    }
}

type Reply<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Store {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> Reply<CreateBucketOutput> {
        self.run(move |files| {
            if !is_bucket_name(&req.input.bucket) {
                return Err(S3Error::new(S3ErrorCode::InvalidBucketName));
            }
            let dir = files.layout.bucket(&req.input.bucket);
            if dir.is_dir() {
                return Err(S3Error::new(S3ErrorCode::BucketAlreadyOwnedByYou));
            }
            files.record(make_dir(&dir).and_then(|()| files.sync_dirs([files.layout.buckets()])))?;
            Ok(CreateBucketOutput { location: Some(format!("/{}", req.input.bucket)) })
        })
        .await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Reply<HeadBucketOutput> {
        self.run(move |files| {
            files.check_bucket(&req.input.bucket)?;
            files.probe()?;
            Ok(HeadBucketOutput::default())
        })
        .await
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> Reply<DeleteBucketOutput> {
        self.run(move |files| {
            let one = ListingQuery { max: 1, ..ListingQuery::default() };
            if !listing_responses::page(files, &req.input.bucket, &one)?.objects.is_empty() {
                return Err(S3Error::new(S3ErrorCode::BucketNotEmpty));
            }
            let dir = files.layout.bucket(&req.input.bucket);
            let remove = || {
                // Each of its directories is empty, unless an object was stored meanwhile: then removing it fails.
                for below in dir_entries(&dir)? {
                    std::fs::remove_dir(below)?;
                }
                std::fs::remove_dir(&dir)
            };
            files.record(remove())?;
            Ok(DeleteBucketOutput {})
        })
        .await
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> Reply<GetBucketLocationOutput> {
        self.run(move |files| {
            files.check_bucket(&req.input.bucket).map(|()| GetBucketLocationOutput::default())
        })
        .await
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> Reply<ListBucketsOutput> {
        self.run(listing_responses::buckets).await
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Reply<PutObjectOutput> {
        put::put(&self.files, req.input, req.trailing_headers).await.map(S3Response::new)
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Reply<GetObjectOutput> {
        get::get(&self.files, req.input).await.map(S3Response::new)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Reply<HeadObjectOutput> {
        self.run(move |files| get::head(files, &req.input)).await
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> Reply<CopyObjectOutput> {
        self.run(move |files| {
            let (tag, made) = put::copy(files, req.input)?;
            let copy_object_result = Some(CopyObjectResult {
                e_tag: Some(tag),
                last_modified: Some(made),
                ..CopyObjectResult::default()
            });
            Ok(CopyObjectOutput { copy_object_result, ..CopyObjectOutput::default() })
        })
        .await
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Reply<DeleteObjectOutput> {
        self.run(move |files| {
            files.remove(&req.input.bucket, &req.input.key)?;
            Ok(DeleteObjectOutput::default())
        })
        .await
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> Reply<DeleteObjectsOutput> {
        self.run(move |files| {
            let mut deleted = Vec::with_capacity(req.input.delete.objects.len());
            for object in req.input.delete.objects {
                files.remove(&req.input.bucket, &object.key)?;
                deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() });
            }
            let deleted = Some(deleted).filter(|_| !req.input.delete.quiet.unwrap_or(false));
            Ok(DeleteObjectsOutput { deleted, ..DeleteObjectsOutput::default() })
        })
        .await
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> Reply<ListObjectsOutput> {
        self.run(move |files| listing_responses::objects(files, req.input)).await
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> Reply<ListObjectsV2Output> {
        self.run(move |files| listing_responses::objects_v2(files, req.input)).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Reply<CreateMultipartUploadOutput> {
        self.run(move |files| {
            let input = req.input;
            let headers = headers_of!(input);
            let upload = Upload { bucket: input.bucket, key: input.key, headers };
            let id = multipart::create(files, &upload)?;
            Ok(CreateMultipartUploadOutput {
                bucket: Some(upload.bucket),
                key: Some(upload.key),
                upload_id: Some(id),
                ..CreateMultipartUploadOutput::default()
            })
        })
        .await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Reply<UploadPartOutput> {
        let UploadPartInput {
            body, bucket, key, upload_id, part_number, content_length, content_md5, ..
        } = req.input;
        let sums = with_sums!(Checksum {}, req.input);
        let algorithm = req.input.checksum_algorithm;
        let expected = Expected { md5: content_md5, sums, algorithm, trailing: req.trailing_headers };
        let of = (bucket, key, upload_id);
        // Before the body is received, so that a client learns of a wrong upload id at once.
        let (of, slot) = blocking(&self.files, move |files| {
            let slot = multipart::open_slot(files, (&of.0, &of.1, &of.2), part_number, content_length)?;
            Ok((of, slot))
        })
        .await?;
        let incoming = put::receive(&self.files, body, content_length, expected, slot).await?;
        self.run(move |files| {
            let received = incoming.complete(files)?;
            let sums = received.sums.clone();
            let tag = multipart::store_part(files, (&of.0, &of.1, &of.2), part_number, received)?;
            Ok(with_sums!(UploadPartOutput { e_tag: Some(tag) }, sums))
        })
        .await
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Reply<ListPartsOutput> {
        self.run(move |files| listing_responses::parts(files, req.input)).await
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> Reply<ListMultipartUploadsOutput> {
        self.run(move |files| listing_responses::uploads(files, req.input)).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Reply<CompleteMultipartUploadOutput> {
        self.run(move |files| {
            let input = req.input;
            let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
            let of = (&*input.bucket, &*input.key, &*input.upload_id);
            let tag = multipart::complete(files, of, input.multipart_upload, &conditions)?;
            Ok(CompleteMultipartUploadOutput {
                e_tag: Some(tag),
                bucket: Some(input.bucket),
                key: Some(input.key),
                ..CompleteMultipartUploadOutput::default()
            })
        })
        .await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Reply<AbortMultipartUploadOutput> {
        self.run(move |files| {
            let input = req.input;
            multipart::abort(files, &input.bucket, &input.key, &input.upload_id)?;
            Ok(AbortMultipartUploadOutput::default())
        })
        .await
    }
}
