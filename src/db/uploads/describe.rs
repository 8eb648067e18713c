//! Attributes of an upload that become known while its bytes arrive.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{LockId, Uploads};
use crate::db::DbError;
use crate::db::retry::{Progress, retry};
use crate::db::schema::{files, uploads};
use crate::domain::{File, FileType, Status};

impl Uploads<'_> {
    /// Writes texts, media type and attributes of the file. False when the lock is no longer the caller's.
    pub async fn describe(self, lock: LockId, file: &File) -> Result<bool, DbError> {
        let changed = retry!(
            Progress::of_transaction(),
            self.db.run(async move |conn| {
                let about = &file.attributes;
                let is_ours = uploads::table
                    .filter(uploads::file_id.eq(files::id).and(uploads::lock_id.eq(lock.0)))
                    .select(uploads::file_id);
                diesel::update(files::table.find(file.id.0))
                    .filter(files::status.eq(Status::Uploading.name()).and(diesel::dsl::exists(is_ours)))
                    .set((
                        files::title.eq(&file.title),
                        files::description.eq(file.description.as_deref()),
                        files::content_type.eq(&file.content_type),
                        files::file_name.eq(about.file_name.as_deref()),
                        files::file_type.eq(about.file_type.map(FileType::name)),
                        files::claimed_type.eq(about.claimed_type.as_deref()),
                        files::uploaded_by.eq(about.uploaded_by.as_deref()),
                        files::uploaded_by_name.eq(about.uploaded_by_name.as_deref()),
                        files::folder.eq(about.folder.as_deref()),
                        files::tags.eq((!about.tags.is_empty()).then_some(&about.tags)),
                        files::related_post_id.eq(about.related_post_id.as_deref()),
                        files::related_category_id.eq(about.related_category_id.as_deref()),
                        files::metadata.eq((!about.metadata.is_empty())
                            .then(|| serde_json::Value::Object(about.metadata.clone()))),
                    ))
                    .execute(conn)
                    .await
            })
        )?;
        Ok(changed > 0)
    }
}
