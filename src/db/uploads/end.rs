//! Ends of uploads: part of each transaction that moves files out of `uploading`.

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Bool, Interval, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::ANNOUNCED;
use crate::db::statements::prepared::Prepared;
use crate::db::{clock, limits};
use crate::domain::FileId;
use crate::domain::uploads::TAIL_SUFFIXES;

/// Everything that the store may have of an upload that ends without an object is to be removed; of one that has an object,
/// the tails, and a multipart upload whose id is not known. Not before a request that still writes to it can have sent its last bytes.
const END: &str = "
WITH ended AS (
    DELETE FROM uploads USING UNNEST($1, $2) AS e (id, has_object) WHERE file_id = e.id
    RETURNING file_id, key, s3_upload_id, has_tails, has_object, greatest(clock_timestamp(), locked_until + $3) AS due
)
INSERT INTO object_removals (file_id, key, s3_upload_id, retry_at)
SELECT file_id, key, s3_upload_id, due FROM ended WHERE NOT has_object OR s3_upload_id = $5
UNION ALL SELECT file_id, key || suffix, NULL, due FROM ended, UNNEST($4) AS suffix WHERE has_tails";

/// Ends the uploads of these files, each with whether it has an object now. Part of the caller's transaction, which has locked
/// the files.
pub(in crate::db) async fn end(mut conn: &AsyncPgConnection, ended: Vec<(FileId, bool)>) -> QueryResult<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let (ids, have_object): (Vec<i64>, Vec<bool>) =
        ended.into_iter().map(|(id, has_object)| (id.0, has_object)).unzip();
    let end = diesel::sql_query(END)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Bool>, _>(have_object)
        .bind::<Interval, _>(clock::interval(limits::UPLOAD_WRITER_GRACE))
        .bind::<Array<Text>, _>(TAIL_SUFFIXES.as_slice())
        .bind::<Text, _>(ANNOUNCED);
    Prepared(end).execute(&mut conn).await?;
    Ok(())
}
