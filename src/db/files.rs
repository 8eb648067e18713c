//! Table `files`: new rows with their first transition and their message, look-ups, pages.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text, Timestamptz, Uuid};
use diesel_async::RunQueryDsl;

use super::schema::files;
use super::types::{FileRow, IdColumn};
use super::{Db, DbError};
use crate::domain::{Attempt, Cursor, EventId, File, FileId, NewFile, Page, PageRequest, Status, Timestamp};

/// A file about to be stored, and the message that asks for it.
#[derive(Debug)]
pub struct NewRow {
    pub id: FileId,
    pub new: NewFile,
    pub created_at: Timestamp,
    pub deadline_at: Timestamp,
    pub event_id: EventId,
    /// Value of the record on `topic`, without a key.
    pub message: Vec<u8>,
}

#[derive(QueryableByName)]
struct NextId {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

const INSERT: &str = "
WITH new AS (
    SELECT * FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9)
        AS n (id, title, description, format, content_type, created_at, deadline_at, event_id, message)
), inserted_files AS (
    INSERT INTO files (id, title, description, status, format, content_type, attempt, created_at, updated_at, deadline_at)
    SELECT id, title, description, $10, format, content_type, $11, created_at, created_at, deadline_at FROM new
), inserted_transitions AS (
    INSERT INTO transitions (file_id, at, to_status, attempt) SELECT id, created_at, $10, $11 FROM new
), inserted_outbox AS (
    INSERT INTO outbox (event_id, topic, value, file_id) SELECT event_id, $12, message, id FROM new ORDER BY id
)
SELECT pg_notify($13, '')";

impl Db {
    /// Takes ids that no other row has or will have.
    pub async fn next_file_ids(&self, count: usize) -> Result<Vec<FileId>, DbError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows: Vec<NextId> = self
            .run(async move |conn| {
                diesel::sql_query("SELECT nextval('files_id_seq') AS id FROM generate_series(1, $1)")
                    .bind::<BigInt, _>(count)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(|row| FileId(row.id)).collect())
    }

    /// Stores all rows, each with its transition to `pending` and its outbox row, or none of them. Committed when
    /// this returns; whoever listens for the outbox is woken.
    pub async fn insert_files(&self, topic: &'static str, rows: Vec<NewRow>) -> Result<(), DbError> {
        let count = rows.len();
        let (mut ids, mut titles, mut descriptions) = (Vec::with_capacity(count), Vec::new(), Vec::new());
        let (mut formats, mut content_types) = (Vec::new(), Vec::new());
        let (mut created, mut deadlines) = (Vec::new(), Vec::new());
        let (mut events, mut messages) = (Vec::new(), Vec::new());
        for row in rows {
            ids.push(row.id.0);
            titles.push(row.new.title);
            descriptions.push(row.new.description);
            formats.push(row.new.format.name());
            content_types.push(row.new.format.media_type());
            created.push(row.created_at.as_datetime());
            deadlines.push(row.deadline_at.as_datetime());
            events.push(row.event_id);
            messages.push(row.message);
        }
        self.run(async move |conn| {
            diesel::sql_query(INSERT)
                .bind::<Array<BigInt>, _>(ids)
                .bind::<Array<Text>, _>(titles)
                .bind::<Array<Nullable<Text>>, _>(descriptions)
                .bind::<Array<Text>, _>(formats)
                .bind::<Array<Text>, _>(content_types)
                .bind::<Array<Timestamptz>, _>(created)
                .bind::<Array<Timestamptz>, _>(deadlines)
                .bind::<Array<Uuid>, _>(events)
                .bind::<Array<Binary>, _>(messages)
                .bind::<Text, _>(Status::Pending.name())
                .bind::<diesel::sql_types::Integer, _>(Attempt::FIRST.0)
                .bind::<Text, _>(topic)
                .bind::<Text, _>(super::listen::OUTBOX)
                .execute(conn)
                .await
        })
        .await?;
        Ok(())
    }

    pub async fn file(&self, id: FileId) -> Result<Option<File>, DbError> {
        let row: Option<FileRow> = self
            .run(async move |conn| {
                files::table.find(id.0).select(FileRow::as_select()).first(conn).await.optional()
            })
            .await?;
        Ok(row.map(File::from))
    }

    /// Newest first, by id; deleted files only when asked for.
    pub async fn page(&self, request: &PageRequest) -> Result<Page, DbError> {
        let mut query = files::table
            .select(FileRow::as_select())
            .order(files::id.desc())
            .limit(request.limit + 1)
            .into_boxed();
        query = match request.status {
            Some(status) => query.filter(files::status.eq(status.name())),
            None => query.filter(files::status.ne(Status::Deleted.name())),
        };
        if let Some(cursor) = request.cursor {
            query = query.filter(files::id.lt(cursor.before.0));
        }
        if let Some(text) = &request.query {
            query = query.filter(files::title.ilike(format!("%{}%", escape_like(text))));
        }
        let rows: Vec<FileRow> = self.run(async move |conn| query.load(conn).await).await?;
        let mut files: Vec<File> = rows.into_iter().map(File::from).collect();
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let more = files.len() > limit;
        files.truncate(limit);
        let next = files.last().filter(|_| more).map(|last| Cursor { before: last.id });
        Ok(Page { files, next })
    }

    /// Ids of files whose deadline has passed and that are unfinished all the same, oldest deadline first.
    pub async fn files_past_deadline(&self, now: Timestamp, limit: i64) -> Result<Vec<FileId>, DbError> {
        let rows: Vec<IdColumn> = self
            .run(async move |conn| {
                files::table
                    .select(files::id)
                    .filter(files::status.eq_any([Status::Pending.name(), Status::Processing.name()]))
                    .filter(files::deadline_at.le(now.as_datetime()))
                    .order(files::deadline_at)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(FileId::from).collect())
    }

    /// Ids above `after` of unfinished files that no outbox row stands for, in order.
    pub async fn files_in_flight(&self, after: FileId, limit: i64) -> Result<Vec<FileId>, DbError> {
        use super::schema::outbox;
        let rows: Vec<IdColumn> = self
            .run(async move |conn| {
                files::table
                    .select(files::id)
                    .filter(files::status.eq_any([Status::Pending.name(), Status::Processing.name()]))
                    .filter(files::id.gt(after.0))
                    .filter(diesel::dsl::not(diesel::dsl::exists(
                        outbox::table.filter(outbox::file_id.eq(files::id)),
                    )))
                    .order(files::id)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(FileId::from).collect())
    }
}

fn escape_like(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}
