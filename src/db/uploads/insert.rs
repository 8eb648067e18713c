//! New uploads: the row of the file, its first history entry, its event and the row of the upload, in one statement.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Binary, Integer, Interval, Jsonb, Nullable, Text, Timestamptz, Uuid};

use super::{LockId, Uploads, column};
use crate::db::outbox::listen;
use crate::db::outbox::message::{OutboxMessage, Written};
use crate::db::retry::{Progress, retry};
use crate::db::statements::load_one::LoadOne;
use crate::db::statements::prepared::Prepared;
use crate::db::{DbError, clock, limits};
use crate::domain::{File, FileType, Status};

/// An upload about to begin. Its file has the status `uploading`.
#[derive(Debug)]
pub struct NewUploadRow {
    pub file: File,
    /// Key of the object that it becomes.
    pub key: String,
    /// Announced number of bytes.
    pub length: Option<u64>,
    pub wanted_sha256: Option<String>,
    pub tus_metadata: Option<String>,
    pub message: OutboxMessage,
    /// Time after which it ends when nothing arrives.
    pub expires_in: Duration,
    /// Request that begins to write at once, and for how long it holds the upload.
    pub lock: Option<(LockId, Duration)>,
}

const INSERT: &str = "
WITH inserted_file AS (
    INSERT INTO files (id, title, description, status, format, content_type, attempt, created_at, updated_at, deadline_at,
        origin, file_name, file_type, claimed_type, uploaded_by, uploaded_by_name, folder, tags, related_post_id,
        related_category_id, metadata)
    VALUES ($1, $2, $3, $4, NULL, $5, $6, $7, $7, $7 + $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
    RETURNING id
), inserted_transition AS (
    INSERT INTO transitions (file_id, at, to_status, attempt) VALUES ($1, $7, $4, $6)
), inserted_upload AS (
    INSERT INTO uploads (file_id, key, length, wanted_sha256, expires_at, lock_id, locked_until, tus_metadata)
    SELECT id, $20, $21, $22, clock_timestamp() + $8, $23, COALESCE(clock_timestamp() + $24, '-infinity'), $32 FROM inserted_file
), inserted_outbox AS (
    INSERT INTO outbox (event_id, topic, record_key, value, file_id, retry_at)
    VALUES ($25, $26, $27, $28, $1, clock_timestamp() + $29)
    RETURNING id, event_id
)
SELECT array_agg(id) AS ids, array_agg(event_id) AS event_ids, pg_notify($30, $31)::text FROM inserted_outbox";

impl Uploads<'_> {
    /// Stores a new upload. Committed when this returns.
    pub async fn insert(self, new: NewUploadRow) -> Result<(), DbError> {
        let lease = self.db.handoff.lease();
        let row = &new;
        let written: Written = retry!(
            // A statement that was cut off may have been done; the id is new, so repeating it can't do it twice.
            Progress::of_statement(),
            self.db.run_on(&self.db.pool, limits::WORK, async move |conn| {
                let NewUploadRow {
                    file,
                    key,
                    length,
                    wanted_sha256,
                    tus_metadata,
                    message,
                    expires_in,
                    lock,
                } = row;
                let about = &file.attributes;
                let metadata = (!about.metadata.is_empty()).then(|| about.metadata.clone().into());
                let insert = diesel::sql_query(INSERT)
                    .bind::<BigInt, _>(file.id.0)
                    .bind::<Text, _>(&file.title)
                    .bind::<Nullable<Text>, _>(file.description.as_deref())
                    .bind::<Text, _>(Status::Uploading.name())
                    .bind::<Text, _>(&file.content_type)
                    .bind::<Integer, _>(file.attempt.0)
                    .bind::<Timestamptz, _>(file.created_at.as_datetime())
                    .bind::<Interval, _>(clock::interval(*expires_in))
                    .bind::<Text, _>(about.origin.name())
                    .bind::<Nullable<Text>, _>(about.file_name.as_deref())
                    .bind::<Nullable<Text>, _>(about.file_type.map(FileType::name))
                    .bind::<Nullable<Text>, _>(about.claimed_type.as_deref())
                    .bind::<Nullable<Text>, _>(about.uploaded_by.as_deref())
                    .bind::<Nullable<Text>, _>(about.uploaded_by_name.as_deref())
                    .bind::<Nullable<Text>, _>(about.folder.as_deref())
                    .bind::<Nullable<Array<Text>>, _>((!about.tags.is_empty()).then_some(&about.tags))
                    .bind::<Nullable<Text>, _>(about.related_post_id.as_deref())
                    .bind::<Nullable<Text>, _>(about.related_category_id.as_deref())
                    .bind::<Nullable<Jsonb>, Option<serde_json::Value>>(metadata)
                    .bind::<Text, _>(key)
                    .bind::<Nullable<BigInt>, _>(length.map(column))
                    .bind::<Nullable<Text>, _>(wanted_sha256.as_deref())
                    .bind::<Nullable<Uuid>, _>(lock.map(|(id, _)| id.0))
                    .bind::<Nullable<Interval>, _>(lock.map(|(_, lease)| clock::interval(lease)))
                    .bind::<Uuid, _>(message.event_id)
                    .bind::<Text, _>(&*message.topic)
                    .bind::<Nullable<Binary>, _>(message.key.as_deref())
                    .bind::<Binary, _>(&**message.value())
                    .bind::<Nullable<Interval>, _>(lease.map(clock::interval))
                    .bind::<Text, _>(listen::OUTBOX)
                    .bind::<Text, _>(listen::payload(lease.is_some()))
                    .bind::<Nullable<Text>, _>(tus_metadata.as_deref());
                Prepared(insert).load_one(conn).await
            })
        )?;
        self.db.writes.succeeded();
        self.db.changes.record();
        if lease.is_some() {
            self.db.handoff.enqueue(written.rows([new.message]));
        }
        Ok(())
    }
}
