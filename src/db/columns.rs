//! Domain types as columns: statuses and formats as their names, times as `timestamptz`.

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{BigInt, Integer, Text, Timestamptz};
use diesel::{Queryable, Selectable};

use super::schema::{files, transitions};
use crate::domain::{
    Attempt, Attributes, DeadLetterId, DeadLetterState, File, FileId, FileOrigin, FileType, Format,
    HistoryEntry, Status, Timestamp,
};

macro_rules! column {
    ($name:ident, $inner:ty, $sql:ty, |$value:ident: $raw:ty| $read:expr) => {
        #[derive(Debug, FromSqlRow)]
        pub(super) struct $name($inner);

        impl FromSql<$sql, Pg> for $name {
            fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
                let $value = <$raw as FromSql<$sql, Pg>>::from_sql(bytes)?;
                $read.map($name)
            }
        }

        impl From<$name> for $inner {
            fn from(column: $name) -> Self {
                column.0
            }
        }
    };
}

column!(IdColumn, FileId, BigInt, |id: i64| Ok(FileId(id)));
column!(AttemptColumn, Attempt, Integer, |number: i32| Ok(Attempt(number)));
column!(TimeColumn, Timestamp, Timestamptz, |at: DateTime<Utc>| Ok(Timestamp::from(at)));
column!(StatusColumn, Status, Text, |name: String| Status::from_name(&name)
    .ok_or_else(|| format!("unknown status {name}").into()));
column!(FormatColumn, Format, Text, |name: String| Format::from_name(&name)
    .ok_or_else(|| format!("unknown format {name}").into()));
column!(OriginColumn, FileOrigin, Text, |name: String| FileOrigin::from_name(&name)
    .ok_or_else(|| format!("unknown origin {name}").into()));
column!(FileTypeColumn, FileType, Text, |name: String| FileType::from_name(&name)
    .ok_or_else(|| format!("unknown file type {name}").into()));
column!(DeadLetterIdColumn, DeadLetterId, BigInt, |id: i64| Ok(DeadLetterId(id)));
column!(DeadLetterStateColumn, DeadLetterState, Text, |name: String| DeadLetterState::from_name(&name)
    .ok_or_else(|| format!("unknown state {name}").into()));

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = files, check_for_backend(Pg))]
pub(super) struct FileRow {
    id: IdColumn,
    title: String,
    description: Option<String>,
    status: StatusColumn,
    s3_location: Option<String>,
    created_at: TimeColumn,
    updated_at: TimeColumn,
    format: Option<FormatColumn>,
    content_type: String,
    size: Option<i64>,
    sha256: Option<String>,
    attempt: AttemptColumn,
    error: Option<String>,
    sequence: i64,
    erased_at: Option<TimeColumn>,
    #[diesel(embed)]
    attributes: AttributesRow,
}

/// Columns that are NULL unless a file has more to tell than its request.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = files, check_for_backend(Pg))]
pub(super) struct AttributesRow {
    origin: Option<OriginColumn>,
    file_name: Option<String>,
    file_type: Option<FileTypeColumn>,
    claimed_type: Option<String>,
    uploaded_by: Option<String>,
    uploaded_by_name: Option<String>,
    folder: Option<String>,
    tags: Option<Vec<String>>,
    related_post_id: Option<String>,
    related_category_id: Option<String>,
    metadata: Option<serde_json::Value>,
    view_count: Option<i64>,
    download_count: Option<i64>,
    expires_at: Option<TimeColumn>,
    trashed_at: Option<TimeColumn>,
}

impl From<AttributesRow> for Attributes {
    fn from(row: AttributesRow) -> Self {
        let metadata = match row.metadata {
            Some(serde_json::Value::Object(members)) => members,
            Some(_) | None => serde_json::Map::new(),
        };
        Self {
            origin: row.origin.map(Into::into).unwrap_or_default(),
            file_name: row.file_name,
            file_type: row.file_type.map(Into::into),
            claimed_type: row.claimed_type,
            uploaded_by: row.uploaded_by,
            uploaded_by_name: row.uploaded_by_name,
            folder: row.folder,
            tags: row.tags.unwrap_or_default(),
            related_post_id: row.related_post_id,
            related_category_id: row.related_category_id,
            metadata,
            view_count: row.view_count.unwrap_or_default(),
            download_count: row.download_count.unwrap_or_default(),
            expires_at: row.expires_at.map(Into::into),
            trashed_at: row.trashed_at.map(Into::into),
        }
    }
}

impl From<FileRow> for File {
    fn from(row: FileRow) -> Self {
        Self {
            id: row.id.into(),
            title: row.title,
            description: row.description,
            status: row.status.into(),
            s3_location: row.s3_location,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            format: row.format.map(Into::into),
            content_type: row.content_type,
            size: row.size,
            sha256: row.sha256,
            attempt: row.attempt.into(),
            error: row.error,
            erased_at: row.erased_at.map(Timestamp::from),
            description_truncated: false,
            attributes: row.attributes.into(),
            sequence: row.sequence,
        }
    }
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = transitions, check_for_backend(Pg))]
pub(super) struct HistoryRow {
    at: TimeColumn,
    from_status: Option<StatusColumn>,
    to_status: StatusColumn,
    attempt: AttemptColumn,
    worker: Option<String>,
    kafka_partition: Option<i32>,
    kafka_offset: Option<i64>,
    duration_ms: Option<i64>,
    error: Option<String>,
}

impl From<HistoryRow> for HistoryEntry {
    fn from(row: HistoryRow) -> Self {
        Self {
            at: row.at.into(),
            from: row.from_status.map(Into::into),
            to: row.to_status.into(),
            attempt: row.attempt.into(),
            worker: row.worker,
            partition: row.kafka_partition,
            offset: row.kafka_offset,
            duration_ms: row.duration_ms,
            error: row.error,
        }
    }
}
