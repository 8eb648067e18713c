//! Pages of table `files`, newest first, and searches, which have a time limit and a share of the pool of their own.

use std::sync::Arc;

use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Nullable, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tokio::sync::OwnedSemaphorePermit;

use super::Files;
use crate::db::columns::FileRow;
use crate::db::retry::retry_read;
use crate::db::schema::{file_titles, files};
use crate::db::{DbError, attempt, limits};
use crate::domain::files::Filters;
use crate::domain::{File, FileOrigin, Format, Page, PageRequest, Status, text};

/// Characters of each description in a list.
const BEGINNING: i32 = 500;

/// Settings of searches, besides those of each session. Their plans depend on the text: a rare one is
/// looked up by its trigrams (`migrations::TITLE_INDEX`), one that many titles have is soon met among the newest.
fn search_settings() -> String {
    format!(
        "SET LOCAL statement_timeout = {}; SET LOCAL plan_cache_mode = force_custom_plan",
        limits::SEARCH_MILLIS
    )
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn left(text: Nullable<Text>, count: Integer) -> Nullable<Text>;
    fn char_length(text: Nullable<Text>) -> Nullable<Integer>;
}

/// A [`FileRow`] with so many characters of its description, and whether that has more.
#[diesel::dsl::auto_type]
fn beginnings(count: i32) -> _ {
    (
        (
            files::id,
            files::title,
            left(files::description, count),
            files::status,
            files::s3_location,
            files::created_at,
            files::updated_at,
            files::format,
            files::content_type,
            files::size,
            files::sha256,
            files::attempt,
            files::error,
            files::sequence,
            files::erased_at,
            (
                files::origin,
                files::file_name,
                files::file_type,
                files::claimed_type,
                files::uploaded_by,
                files::uploaded_by_name,
                files::folder,
                files::tags,
                files::related_post_id,
                files::related_category_id,
                files::metadata,
                files::view_count,
                files::download_count,
                files::expires_at,
                files::trashed_at,
            ),
        ),
        char_length(files::description).gt(count),
    )
}

type Condition = Box<dyn BoxableExpression<files::table, Pg, SqlType = Nullable<Bool>>>;

/// Returns what the files of a list must fulfil. An index of uploads has a condition (migration 50) that PostgreSQL recognizes in
/// the text of a statement only.
fn conditions(filters: &Filters) -> Vec<Condition> {
    let Filters { file_type, origin, tag, folder, owner } = filters;
    let uploaded = || sql::<Nullable<Bool>>("(files.origin = 'uploaded')");
    let mut conditions: Vec<Condition> = Vec::new();
    if let Some(file_type) = file_type {
        let of_uploads = uploaded().and(files::file_type.eq(file_type.name()));
        // Generated files have no type of their own.
        let formats = Format::ALL.into_iter().filter(|format| format.file_type() == file_type.name());
        let formats: Vec<&str> = formats.map(Format::name).collect();
        conditions.push(if formats.is_empty() {
            Box::new(of_uploads)
        } else {
            Box::new(of_uploads.or(files::format.eq_any(formats)))
        });
    }
    match origin {
        None => {}
        Some(FileOrigin::Uploaded) => {
            conditions.push(Box::new(uploaded()));
        }
        Some(FileOrigin::Generated) => {
            conditions.push(Box::new(sql::<Nullable<Bool>>("(files.origin IS NULL)")));
        }
    }
    if let Some(tag) = tag {
        conditions.push(Box::new(files::tags.contains(vec![tag.clone()])));
    }
    if let Some(folder) = folder {
        conditions.push(Box::new(files::folder.eq(folder.clone())));
    }
    if let Some(owner) = owner {
        conditions.push(Box::new(files::uploaded_by.eq(owner.clone())));
    }
    conditions
}

impl Files<'_> {
    /// Newest first, by id, with the beginnings of descriptions; deleted files only when asked for.
    pub async fn list(self, request: &PageRequest) -> Result<Page, DbError> {
        let query = || {
            let mut query = files::table
                .select(beginnings(BEGINNING))
                .order(files::id.desc())
                .limit(request.limit + 1)
                .into_boxed();
            query = match request.status {
                // In the order of the index of statuses: by id alone PostgreSQL may walk past all files of other ones.
                Some(status) => query
                    .filter(files::status.between(status.name(), status.name()))
                    .order((files::status, files::id.desc())),
                None => query.filter(files::status.ne(Status::Deleted.name())),
            };
            for condition in conditions(&request.filters) {
                query = query.filter(condition);
            }
            if let Some(cursor) = request.cursor {
                query = query.filter(files::id.lt(cursor.before.0));
            }
            let Some(text) = &request.query else { return query };
            let part = |text: &str| format!("%{}%", escape_like(text));
            // Rows from before titles were normalized may have the other form.
            let matching = file_titles::table.select(file_titles::file_id).into_boxed();
            let matching = match text::decomposed(text) {
                Some(other) => matching
                    .filter(file_titles::title.ilike(part(text)).or(file_titles::title.ilike(part(&other)))),
                None => matching.filter(file_titles::title.ilike(part(text))),
            };
            query.filter(files::id.eq_any(matching))
        };
        // Few files may fulfil a condition, so that many are read to find them.
        let is_search = request.query.is_some() || !request.filters.is_empty();
        let rows: Vec<(FileRow, Option<bool>)> = if is_search {
            let _permit = self.search_permit().await?;
            retry_read!({
                let query = query();
                self.search(async move |conn| {
                    conn.transaction(async move |conn| {
                        conn.batch_execute(&search_settings()).await?;
                        query.load(conn).await
                    })
                    .await
                })
            })?
        } else {
            retry_read!({
                let query = query();
                self.db.run(async move |conn| query.load(conn).await)
            })?
        };
        let files = rows.into_iter().map(|(row, is_cut)| File {
            description_truncated: is_cut.unwrap_or_default(),
            ..File::from(row)
        });
        Ok(Page::of(files, usize::try_from(request.limit).unwrap_or(usize::MAX)))
    }

    /// Runs like `run` a question that may read many rows to find few: taking too long is its own fault.
    async fn search<T>(
        self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<T>,
    ) -> Result<T, DbError> {
        let searched = attempt(&self.db.pool, limits::WORK, work).await;
        let found = searched
            .map_err(|error| if let DbError::Cancelled(_) = error { DbError::SlowSearch } else { error });
        self.db.observe(&found);
        found
    }

    async fn search_permit(self) -> Result<OwnedSemaphorePermit, DbError> {
        let permit = tokio::time::timeout(limits::SEARCH_WAIT, Arc::clone(&self.db.searches).acquire_owned());
        permit.await.map_err(|_| DbError::SlowSearch)?.map_err(|error| DbError::Bug(error.to_string()))
    }
}

fn escape_like(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}
