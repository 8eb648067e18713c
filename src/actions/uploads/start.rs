//! Start an upload: row, first history entry and event are committed before the first byte goes to the store.

use std::time::Duration;

use super::receive::ReceiveOptions;
use super::{LOCK_LEASE, Receiver};
use crate::actions::ServeContext;
use crate::actions::files::transition;
use crate::db::uploads::{LockId, NewUploadRow, Tail, UploadRow};
use crate::domain::uploads::UploadFields;
use crate::domain::{
    Attempt, Attributes, Error, EventType, File, FileId, FileOrigin, FileType, MediaType, Result, Status,
    Timestamp,
};
use crate::faults;
use crate::storage::object_keys;

/// Request for an upload, checked.
#[derive(Debug, Clone)]
pub struct NewUpload {
    pub fields: UploadFields,
    /// Media type as far as it is known: by the first bytes, or else as the client names it.
    pub media_type: MediaType,
    /// Sentence about a media type that is not the claimed one.
    pub warning: Option<String>,
    /// Announced number of bytes.
    pub length: Option<u64>,
    /// Other requests may go on with it. Its media type is told when its first bytes have come.
    pub is_resumable: bool,
    /// Header `Upload-Metadata`, which is repeated to those who ask.
    pub tus_metadata: Option<String>,
    /// Time after which it ends when nothing arrives.
    pub expires_in: Duration,
}

/// Started upload.
pub struct Started {
    pub file: File,
    /// Holds the lock.
    pub receiver: Receiver,
}

impl NewUpload {
    fn to_file(&self, id: FileId, now: Timestamp) -> File {
        let fields = &self.fields;
        let mut file = File {
            id,
            title: fields.title.clone(),
            description: fields.description.clone(),
            status: Status::Uploading,
            s3_location: None,
            created_at: now,
            updated_at: now,
            format: None,
            content_type: self.media_type.as_str().to_owned(),
            size: None,
            sha256: None,
            attempt: Attempt::FIRST,
            error: None,
            erased_at: None,
            description_truncated: false,
            attributes: Attributes {
                origin: FileOrigin::Uploaded,
                file_name: Some(fields.file_name.as_str().to_owned()),
                file_type: Some(FileType::of_media_type(self.media_type.as_str())),
                claimed_type: fields.claimed_type.as_ref().map(|claimed| claimed.as_str().to_owned()),
                uploaded_by: fields.uploaded_by.clone(),
                uploaded_by_name: fields.uploaded_by_name.clone(),
                folder: fields.folder.clone(),
                tags: fields.tags.clone(),
                related_post_id: fields.related_post_id.clone(),
                related_category_id: fields.related_category_id.clone(),
                ..Attributes::default()
            },
            sequence: 1,
        };
        file.attributes.set_type_warning(self.warning.as_deref());
        file
    }
}

/// Starts an upload and holds its lock, so that the caller can write to it at once.
pub async fn start(ctx: &ServeContext, new: &NewUpload) -> Result<Started> {
    let max_bytes = ctx.uploads.max_size;
    if new.length.is_some_and(|length| length > max_bytes) {
        return Err(super::receive::too_large(max_bytes));
    }
    let ids = ctx.db.files().reserve_ids(1).await?;
    let now = ids.now();
    let id = ids.ids.first().copied().ok_or_else(|| Error::internal("the database gave no id"))?;
    let file = new.to_file(id, now);
    let fields = &new.fields;
    let key = object_keys::upload_key(id, fields.uploaded_by.as_deref(), fields.file_name.as_str());
    let wanted_sha256 = fields.sha256.as_ref().map(ToString::to_string);
    let lock = LockId::random();
    let row = NewUploadRow {
        key: key.clone(),
        length: new.length,
        wanted_sha256: wanted_sha256.clone(),
        tus_metadata: new.tus_metadata.clone(),
        message: transition::event(&file, EventType::ProcessingStarted, &ctx.events)?,
        expires_in: new.expires_in,
        lock: Some((lock, LOCK_LEASE)),
        file: file.clone(),
    };
    ctx.db.uploads().insert(row).await?;
    faults::point!(UploadInserted);
    log::debug!(file_id = id.0; "upload started");
    let row = UploadRow {
        file_id: id,
        key,
        length: new.length,
        stored: 0,
        sha256_state: None,
        wanted_sha256,
        multipart: None,
        tail: Tail::default(),
        tus_metadata: new.tus_metadata.clone(),
        expires_at: now.plus(new.expires_in),
    };
    let options = ReceiveOptions { max_bytes, expires_in: new.expires_in, is_resumable: new.is_resumable };
    let receiver = Receiver::resume(ctx, row, lock, &file, options).await?;
    Ok(Started { file, receiver })
}
