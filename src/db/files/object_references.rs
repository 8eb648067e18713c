//! Table `files` as the object store is compared with it: what each row says of its object, in small batches.

use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::Files;
use crate::db::columns::{FileRow, IdColumn, StatusColumn};
use crate::db::schema::files;
use crate::db::statements::load_one::LoadOne;
use crate::db::{DbError, limits};
use crate::domain::{File, FileId, Status};

/// Reference of a row to its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectReference {
    pub id: FileId,
    pub status: Status,
    pub s3_location: Option<String>,
    pub size: Option<i64>,
    pub sha256: Option<String>,
}

impl From<&File> for ObjectReference {
    fn from(file: &File) -> Self {
        Self {
            id: file.id,
            status: file.status,
            s3_location: file.s3_location.clone(),
            size: file.size,
            sha256: file.sha256.clone(),
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = files, check_for_backend(diesel::pg::Pg))]
struct ObjectReferenceRow {
    id: IdColumn,
    status: StatusColumn,
    s3_location: Option<String>,
    size: Option<i64>,
    sha256: Option<String>,
}

impl From<ObjectReferenceRow> for ObjectReference {
    fn from(ObjectReferenceRow { id, status, s3_location, size, sha256 }: ObjectReferenceRow) -> Self {
        Self { id: id.into(), status: status.into(), s3_location, size, sha256 }
    }
}

#[derive(QueryableByName)]
struct LastValue {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Files<'_> {
    /// Reads the object references of those of these files that exist, in no order.
    pub async fn object_references(self, ids: Vec<FileId>) -> Result<Vec<ObjectReference>, DbError> {
        let ids: Vec<i64> = ids.into_iter().map(|id| id.0).collect();
        let rows: Vec<ObjectReferenceRow> = self
            .db
            .run(async move |conn| {
                files::table
                    .select(ObjectReferenceRow::as_select())
                    .filter(files::id.eq_any(ids))
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(ObjectReference::from).collect())
    }

    /// Reads the object references of completed files with ids above `after`, in order.
    pub async fn completed_references(
        self,
        after: FileId,
        limit: i64,
    ) -> Result<Vec<ObjectReference>, DbError> {
        let rows: Vec<ObjectReferenceRow> = self
            .db
            .run(async move |conn| {
                files::table
                    .select(ObjectReferenceRow::as_select())
                    .filter(files::status.eq(Status::Completed.name()))
                    .filter(files::id.gt(after.0))
                    .order(files::id)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(ObjectReference::from).collect())
    }

    /// No file of this database has, or ever had, a higher id.
    pub async fn last_id(self) -> Result<FileId, DbError> {
        let (given, highest): (LastValue, Option<i64>) = self
            .db
            .run(async |conn| {
                let given = diesel::sql_query(
                    "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS id FROM files_id_seq",
                );
                let given = given.load_one(conn).await?;
                Ok((given, files::table.select(max(files::id)).load_one(conn).await?))
            })
            .await?;
        Ok(FileId(given.id.max(highest.unwrap_or_default())))
    }

    /// Locks the file, so that no move of it comes in between, while `work` is done with it as it is now. A row
    /// that isn't there can't be locked: then nothing is held.
    pub async fn with_lock<T, F>(
        self,
        id: FileId,
        work: impl FnOnce(Option<File>) -> F + Send,
    ) -> Result<T, DbError>
    where
        T: Send,
        F: Future<Output = T> + Send,
    {
        self.db
            .run_on(&self.db.pool, limits::RELAY, async move |conn| {
                conn.transaction(async move |conn| {
                    let row: Option<FileRow> = files::table
                        .find(id.0)
                        .select(FileRow::as_select())
                        .for_update()
                        .load_one(conn)
                        .await
                        .optional()?;
                    Ok(work(row.map(File::from)).await)
                })
                .await
            })
            .await
    }
}
