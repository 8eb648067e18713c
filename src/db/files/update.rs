//! Changes of what people say of a file: texts, name, place, relations. Its status and its object stay as they are.

use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::Files;
use crate::db::columns::{FileRow, TimeColumn};
use crate::db::outbox::message::{self, OutboxMessage};
use crate::db::retry::{Progress, retry};
use crate::db::schema::files;
use crate::db::statements::load_one::LoadOne;
use crate::db::{DbError, object_removals};
use crate::domain::{File, FileId, Timestamp};

/// Change of a file's texts and attributes.
#[derive(Debug)]
pub struct Update {
    /// The row afterwards.
    pub file: File,
    pub messages: Vec<OutboxMessage>,
    /// The key that a worker may still store under, although the file will be made under another one.
    pub potential_orphan: Option<String>,
}

impl Files<'_> {
    /// Locks the file, hands it to `decide` with the time, and writes the change that it answers. `None` when there is no such
    /// file. `decide` is asked again when others came in between.
    pub async fn update<R: Send>(
        self,
        id: FileId,
        decide: impl Fn(File, Timestamp) -> (Option<Update>, R) + Send + Sync,
    ) -> Result<Option<R>, DbError> {
        let lease = self.db.handoff.lease();
        let decide = &decide;
        let progress = &Progress::of_transaction();
        let outcome = retry!(
            *progress,
            self.db.run(async move |conn| {
                progress.begin();
                conn.transaction(async move |conn: &mut AsyncPgConnection| {
                    let row: Option<(FileRow, TimeColumn)> = files::table
                        .find(id.0)
                        .select((FileRow::as_select(), diesel::dsl::now.into_sql::<Timestamptz>()))
                        .for_update()
                        .load_one(conn)
                        .await
                        .optional()?;
                    let Some((row, now)) = row else { return Ok((Vec::new(), None)) };
                    let (update, answer) = decide(row.into(), now.into());
                    let written = match update {
                        Some(Update { file, messages, potential_orphan }) => {
                            let potential_orphan =
                                potential_orphan.map(|key| (id, key)).into_iter().collect();
                            object_removals::insert_potential_orphans(conn, potential_orphan).await?;
                            write(conn, &file).await?;
                            message::insert(conn, messages, lease).await?
                        }
                        None => Vec::new(),
                    };
                    progress.commit_sent();
                    Ok((written, Some(answer)))
                })
                .await
            })
        );
        let (written, answer) = outcome?;
        self.db.changes.record();
        if lease.is_some() {
            self.db.handoff.enqueue(written);
        }
        Ok(answer)
    }
}

async fn write(conn: &mut AsyncPgConnection, file: &File) -> QueryResult<()> {
    let about = &file.attributes;
    diesel::update(files::table.find(file.id.0))
        .set((
            files::title.eq(&file.title),
            files::description.eq(file.description.as_deref()),
            files::file_name.eq(about.file_name.as_deref()),
            files::folder.eq(about.folder.as_deref()),
            files::tags.eq((!about.tags.is_empty()).then_some(&about.tags)),
            files::related_post_id.eq(about.related_post_id.as_deref()),
            files::related_category_id.eq(about.related_category_id.as_deref()),
            files::sequence.eq(file.sequence),
            files::updated_at.eq(file.updated_at.as_datetime()),
        ))
        .execute(conn)
        .await?;
    Ok(())
}
