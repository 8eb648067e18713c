//! Table `outbox`: take what is ready, publish it, delete it, in one transaction; several relays at once.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::schema::outbox;
use super::{Db, DbError, limits};
use crate::domain::{EventId, FileId, Timestamp};

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = outbox, check_for_backend(diesel::pg::Pg))]
pub struct OutboxRow {
    pub id: i64,
    pub event_id: EventId,
    pub topic: String,
    pub record_key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub file_id: i64,
}

/// What became of one row.
#[derive(Debug)]
pub enum Fate {
    /// The broker has it: the row goes.
    Published,
    /// Not now, and why: the row stays.
    Kept(String),
    /// Never: the row stays for people to see and is not taken again.
    Parked(String),
}

/// How one round went.
#[derive(Debug, Default)]
pub struct Round {
    pub taken: usize,
    pub published: usize,
    /// Why the first of those that stay was not published.
    pub kept: Option<String>,
    /// Files whose message can't be published, and why.
    pub parked: Vec<(FileId, String)>,
}

impl Db {
    /// Takes up to `limit` rows in the order they were written, skipping those another relay holds, and hands them
    /// to `publish`, which answers one fate each, in order. A crash before the commit leaves the rows: published
    /// again under the same event id.
    pub async fn relay_outbox<F>(
        &self,
        limit: i64,
        now: Timestamp,
        publish: impl FnOnce(Vec<OutboxRow>) -> F + Send,
    ) -> Result<Round, DbError>
    where
        F: Future<Output = Vec<Fate>> + Send,
    {
        self.run_within(limits::RELAY, async move |conn| {
            conn.transaction(async move |conn| {
                let rows: Vec<OutboxRow> = outbox::table
                    .select(OutboxRow::as_select())
                    .filter(outbox::parked_at.is_null())
                    .order(outbox::id)
                    .limit(limit)
                    .for_update()
                    .skip_locked()
                    .load(conn)
                    .await?;
                if rows.is_empty() {
                    return Ok(Round::default());
                }
                let ids: Vec<(i64, FileId)> = rows.iter().map(|row| (row.id, FileId(row.file_id))).collect();
                let mut round = Round { taken: ids.len(), ..Round::default() };
                let mut done = Vec::with_capacity(ids.len());
                for ((id, file_id), fate) in ids.into_iter().zip(publish(rows).await) {
                    match fate {
                        Fate::Published => done.push(id),
                        Fate::Kept(why) => drop(round.kept.get_or_insert(why)),
                        Fate::Parked(reason) => {
                            diesel::update(outbox::table.find(id))
                                .set((
                                    outbox::parked_at.eq(now.as_datetime()),
                                    outbox::park_reason.eq(&reason),
                                ))
                                .execute(conn)
                                .await?;
                            round.parked.push((file_id, reason));
                        }
                    }
                }
                round.published = done.len();
                diesel::delete(outbox::table.filter(outbox::id.eq_any(done))).execute(conn).await?;
                Ok(round)
            })
            .await
        })
        .await
    }

    /// Rows not in Kafka yet, parked ones included.
    pub async fn outbox_size(&self) -> Result<i64, DbError> {
        self.run(async |conn| outbox::table.count().get_result(conn).await).await
    }
}
