//! Table `outbox`: take what is ready, publish it, delete it, in one transaction; several relays at once.

use std::borrow::Cow;
use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::Outbox;
use super::message::{OutboxColumns, OutboxRow};
use crate::db::columns::{IdColumn, TimeColumn};
use crate::db::schema::outbox;
use crate::db::statements::load_one::LoadOne;
use crate::db::{DbError, clock, limits};
use crate::domain::{FileId, Status, Timestamp};

/// Outcome of publishing one row.
#[derive(Debug)]
pub enum PublishOutcome {
    /// The broker has it: the row goes.
    Published,
    /// Not now, and why: the row stays.
    Retained(String),
    /// Its record is on its way: the row stays this relay's for another lease.
    InFlight,
    /// Not now, by its partition's fault: the row stays and those behind it go first.
    Later,
    /// Not for a while, by its own fault: the row stays and those behind it go first.
    Postponed,
    /// Never: the row stays for people to see and is not taken again.
    Parked(String),
}

/// A record that is parked, or that has been waiting for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckRecord {
    pub id: i64,
    pub file_id: FileId,
    pub topic: String,
    pub since: Timestamp,
    /// Reason why it will never be published; `None` while it may be.
    pub parked: Option<String>,
}

/// Summary of one batch.
#[derive(Debug, Default)]
pub struct RelayBatch {
    pub taken: usize,
    pub published: usize,
    /// The topics of postponed rows.
    pub postponed: Vec<String>,
    /// Reason why the first row that stays was not published.
    pub retained: Option<String>,
    /// Files whose message can't be published, and why.
    pub parked: Vec<(FileId, String)>,
}

impl RelayBatch {
    /// Adds up two rounds.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.taken += other.taken;
        self.published += other.published;
        self.postponed.extend(other.postponed);
        self.retained = self.retained.or(other.retained);
        self.parked.extend(other.parked);
        self
    }
}

/// Time for which no other relay takes a row that one is publishing. Renewed while its record is on its way; what a crash
/// in between delays it.
pub(in crate::db) const LEASE: Duration = Duration::from_secs(5);
/// Time for which a postponed row is not taken.
const POSTPONED: Duration = Duration::from_secs(1);

/// Identity of a row whose message has been handed over.
#[derive(Debug, Clone)]
pub struct RowHandle {
    id: i64,
    file_id: FileId,
    topic: Cow<'static, str>,
}

impl RowHandle {
    /// Returns the file that the message is about.
    pub const fn file_id(&self) -> FileId {
        self.file_id
    }
}

impl OutboxRow {
    /// Returns what names the row once its record is gone.
    pub fn handle(&self) -> RowHandle {
        RowHandle { id: self.id, file_id: self.message.file_id, topic: self.message.topic.clone() }
    }
}

async fn apply(
    conn: &mut AsyncPgConnection,
    outcomes: impl Iterator<Item = (RowHandle, PublishOutcome)>,
) -> QueryResult<RelayBatch> {
    let mut batch = RelayBatch::default();
    let mut done = Vec::new();
    let mut postponed = Vec::new();
    let mut in_flight = Vec::new();
    for (RowHandle { id, file_id, topic }, outcome) in outcomes {
        batch.taken += 1;
        match outcome {
            PublishOutcome::Published => done.push(id),
            PublishOutcome::Retained(why) => drop(batch.retained.get_or_insert(why)),
            PublishOutcome::InFlight => in_flight.push(id),
            PublishOutcome::Later => postponed.push(id),
            PublishOutcome::Postponed => {
                postponed.push(id);
                batch.postponed.push(topic.into_owned());
            }
            PublishOutcome::Parked(reason) => {
                // The row stays for operators to see (fsck), and no relay takes it again.
                diesel::update(outbox::table.find(id))
                    .set((outbox::parked_at.eq(diesel::dsl::now), outbox::park_reason.eq(&reason)))
                    .execute(conn)
                    .await?;
                batch.parked.push((file_id, reason));
            }
        }
    }
    for (ids, wait) in [(postponed, POSTPONED), (in_flight, LEASE)] {
        if !ids.is_empty() {
            diesel::update(outbox::table.filter(outbox::id.eq_any(ids)))
                .set(outbox::retry_at.eq(clock::from_now(wait).nullable()))
                .execute(conn)
                .await?;
        }
    }
    batch.published = done.len();
    if !done.is_empty() {
        diesel::delete(outbox::table.filter(outbox::id.eq_any(done))).execute(conn).await?;
    }
    Ok(batch)
}

impl Outbox<'_> {
    /// Takes up to `limit` rows in the order they were written, skipping those another relay holds, and hands them
    /// to `publish`, which answers one outcome each, in order. A crash before the commit leaves the rows: published
    /// again under the same event id.
    pub async fn relay<F>(
        self,
        limit: usize,
        publish: impl FnOnce(Vec<OutboxRow>) -> F + Send,
    ) -> Result<RelayBatch, DbError>
    where
        F: Future<Output = Vec<PublishOutcome>> + Send,
    {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db
            .run_on(&self.db.pool, limits::RELAY, async move |conn| {
                conn.transaction(async move |conn| {
                    let rows: Vec<OutboxColumns> = outbox::table
                        .select(OutboxColumns::as_select())
                        .filter(outbox::parked_at.is_null())
                        .filter(outbox::retry_at.is_null().or(outbox::retry_at.le(diesel::dsl::now)))
                        // In the order of insertion, so that the events of one file keep theirs.
                        .order(outbox::id)
                        .limit(limit)
                        .for_update()
                        // Relays of other processes take other rows instead of waiting for these locks.
                        .skip_locked()
                        .load(conn)
                        .await?;
                    let rows: Vec<OutboxRow> = rows.into_iter().map(OutboxRow::from).collect();
                    if rows.is_empty() {
                        return Ok(RelayBatch::default());
                    }
                    let handles = rows.iter().map(OutboxRow::handle).collect::<Vec<_>>();
                    // Published inside the transaction: if the process dies before the commit, the rows are there and unlocked again.
                    apply(conn, handles.into_iter().zip(publish(rows).await)).await
                })
                .await
            })
            .await
    }

    /// Applies the outcomes of rows that were published without taking them from the table.
    pub async fn apply_outcomes(
        self,
        outcomes: Vec<(RowHandle, PublishOutcome)>,
    ) -> Result<RelayBatch, DbError> {
        self.db.run(async move |conn| apply(conn, outcomes.into_iter()).await).await
    }

    /// Records above `after` that are parked or were written before `before`, in order.
    pub async fn stuck(self, before: Timestamp, after: i64, limit: i64) -> Result<Vec<StuckRecord>, DbError> {
        type Row = (i64, IdColumn, String, TimeColumn, Option<TimeColumn>, Option<String>);
        let rows: Vec<Row> = self
            .db
            .run(async move |conn| {
                outbox::table
                    .select((
                        outbox::id,
                        outbox::file_id,
                        outbox::topic,
                        outbox::created_at,
                        outbox::parked_at,
                        outbox::park_reason,
                    ))
                    .filter(outbox::parked_at.is_not_null().or(outbox::created_at.lt(before.as_datetime())))
                    .filter(outbox::id.gt(after))
                    .order(outbox::id)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        let record = |(id, file_id, topic, since, parked_at, reason): Row| StuckRecord {
            id,
            file_id: file_id.into(),
            topic,
            since: since.into(),
            parked: parked_at.map(|_| reason.unwrap_or_default()),
        };
        Ok(rows.into_iter().map(record).collect())
    }

    /// Forgets a parked record unless its file still is unfinished. False: it stays.
    pub async fn remove_parked(self, id: i64) -> Result<bool, DbError> {
        use crate::db::schema::files;
        let unfinished = files::table
            .filter(files::id.eq(outbox::file_id))
            .filter(files::status.eq_any([Status::Pending.name(), Status::Processing.name()]));
        let parked = outbox::table.filter(
            outbox::id
                .eq(id)
                .and(outbox::parked_at.is_not_null())
                .and(diesel::dsl::not(diesel::dsl::exists(unfinished))),
        );
        let gone = self.db.run(async move |conn| diesel::delete(parked).execute(conn).await).await?;
        Ok(gone == 1)
    }

    /// Rows not in Kafka yet, parked ones included.
    pub async fn size(self) -> Result<i64, DbError> {
        self.db.run(async |conn| outbox::table.count().load_one(conn).await).await
    }
}
