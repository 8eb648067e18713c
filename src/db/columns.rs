//! Domain types as columns: statuses and formats as their names, times as `timestamptz`.

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{BigInt, Integer, Text, Timestamptz};
use diesel::{Queryable, Selectable};

use super::schema::{files, transitions};
use crate::domain::{
    Attempt, DeadLetterId, DeadLetterState, File, FileId, Format, HistoryEntry, Status, Timestamp,
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
    format: FormatColumn,
    content_type: String,
    size: Option<i64>,
    sha256: Option<String>,
    attempt: AttemptColumn,
    error: Option<String>,
    sequence: i64,
    erased_at: Option<TimeColumn>,
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
            format: row.format.into(),
            content_type: row.content_type,
            size: row.size,
            sha256: row.sha256,
            attempt: row.attempt.into(),
            error: row.error,
            erased_at: row.erased_at.map(Timestamp::from),
            description_truncated: false,
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
