//! Table `outbox`: take what is ready, publish it, delete it, in one transaction; several relays at once.

use std::collections::HashMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Interval, Nullable, Text, Uuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::load_one::LoadOne;
use super::prepared::Prepared;
use super::schema::outbox;
use super::types::{IdColumn, TimeColumn};
use super::{Db, DbError, clock, limits, listen};
use crate::domain::{EventId, FileId, Status, Timestamp};

/// Row of the outbox: a message that has committed and is to be published.
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

/// A record to publish, committed with what it announces.
#[derive(Debug)]
pub struct Message {
    pub event_id: EventId,
    pub topic: &'static str,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// 0: of no known file.
    pub file_id: FileId,
}

const INSERT: &str = "
WITH queued AS (
    INSERT INTO outbox (event_id, topic, record_key, value, file_id, retry_at)
    SELECT *, clock_timestamp() + $6 FROM UNNEST($1, $2, $3, $4, $5) AS o
    RETURNING id, event_id
)
SELECT COALESCE(array_agg(id), '{}') AS ids, COALESCE(array_agg(event_id), '{}') AS event_ids,
    pg_notify($7, $8)::text FROM queued";

/// The ids that rows got, in any order.
#[derive(QueryableByName)]
pub(super) struct Written {
    #[diesel(sql_type = Array<BigInt>)]
    ids: Vec<i64>,
    #[diesel(sql_type = Array<Uuid>)]
    event_ids: Vec<EventId>,
}

impl Written {
    /// The rows that the messages have become.
    pub fn rows(self, messages: impl IntoIterator<Item = Message>) -> Vec<OutboxRow> {
        let ids: HashMap<EventId, i64> = self.event_ids.into_iter().zip(self.ids).collect();
        let row = |message: Message| {
            Some(OutboxRow {
                id: *ids.get(&message.event_id)?,
                event_id: message.event_id,
                topic: message.topic.to_owned(),
                record_key: message.key,
                value: message.value,
                file_id: message.file_id.0,
            })
        };
        messages.into_iter().filter_map(row).collect()
    }
}

/// Part of the caller's transaction; whoever listens is woken when that commits. During the `lease` no relay takes the
/// rows from the table: the caller offers them to its own (`fresh`) once they have committed.
pub(super) async fn insert(
    mut conn: &AsyncPgConnection,
    messages: Vec<Message>,
    lease: Option<Duration>,
) -> QueryResult<Vec<OutboxRow>> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let all = || messages.iter();
    let insert = diesel::sql_query(INSERT)
        .bind::<Array<Uuid>, _>(all().map(|m| m.event_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(all().map(|m| m.topic).collect::<Vec<_>>())
        .bind::<Array<Nullable<Binary>>, _>(all().map(|m| m.key.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(all().map(|m| m.value.as_slice()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(all().map(|m| m.file_id.0).collect::<Vec<_>>())
        .bind::<Nullable<Interval>, _>(lease.map(clock::interval))
        .bind::<Text, _>(listen::OUTBOX)
        .bind::<Text, _>(listen::news(lease.is_some()));
    let written: Written = Prepared(insert).load_one(&mut conn).await?;
    Ok(written.rows(messages))
}

/// What became of one row.
#[derive(Debug)]
pub enum Fate {
    /// The broker has it: the row goes.
    Published,
    /// Not now, and why: the row stays.
    Kept(String),
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
    /// Why it will never be published; `None` while it may be.
    pub parked: Option<String>,
}

/// How one round went.
#[derive(Debug, Default)]
pub struct Round {
    pub taken: usize,
    pub published: usize,
    /// The topics of postponed rows.
    pub postponed: Vec<String>,
    /// Why the first of those that stay was not published.
    pub kept: Option<String>,
    /// Files whose message can't be published, and why.
    pub parked: Vec<(FileId, String)>,
}

impl Round {
    /// Adds up two rounds.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.taken += other.taken;
        self.published += other.published;
        self.postponed.extend(other.postponed);
        self.kept = self.kept.or(other.kept);
        self.parked.extend(other.parked);
        self
    }
}

/// Time for which no other relay takes a row that one is publishing. Renewed while its record is on its way; what a crash
/// in between delays it.
pub(super) const LEASE: Duration = Duration::from_secs(5);
/// How long a postponed row steps aside.
const POSTPONED: Duration = Duration::from_secs(1);

/// What is left of a row when its record is on its way.
#[derive(Debug, Clone)]
pub struct Handle {
    id: i64,
    file_id: FileId,
    topic: String,
}

impl Handle {
    /// Returns the file that the message is about.
    pub const fn file_id(&self) -> FileId {
        self.file_id
    }
}

impl OutboxRow {
    /// Returns what names the row once its record is gone.
    pub fn handle(&self) -> Handle {
        Handle { id: self.id, file_id: FileId(self.file_id), topic: self.topic.clone() }
    }
}

async fn settle(
    conn: &mut AsyncPgConnection,
    fates: impl Iterator<Item = (Handle, Fate)>,
) -> QueryResult<Round> {
    let mut round = Round::default();
    let mut done = Vec::new();
    let mut postponed = Vec::new();
    let mut in_flight = Vec::new();
    for (Handle { id, file_id, topic }, fate) in fates {
        round.taken += 1;
        match fate {
            Fate::Published => done.push(id),
            Fate::Kept(why) => drop(round.kept.get_or_insert(why)),
            Fate::InFlight => in_flight.push(id),
            Fate::Later => postponed.push(id),
            Fate::Postponed => {
                postponed.push(id);
                round.postponed.push(topic);
            }
            Fate::Parked(reason) => {
                diesel::update(outbox::table.find(id))
                    .set((outbox::parked_at.eq(diesel::dsl::now), outbox::park_reason.eq(&reason)))
                    .execute(conn)
                    .await?;
                round.parked.push((file_id, reason));
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
    round.published = done.len();
    if !done.is_empty() {
        diesel::delete(outbox::table.filter(outbox::id.eq_any(done))).execute(conn).await?;
    }
    Ok(round)
}

impl Db {
    /// Takes up to `limit` rows in the order they were written, skipping those another relay holds, and hands them
    /// to `publish`, which answers one fate each, in order. A crash before the commit leaves the rows: published
    /// again under the same event id.
    pub async fn relay_outbox<F>(
        &self,
        limit: usize,
        publish: impl FnOnce(Vec<OutboxRow>) -> F + Send,
    ) -> Result<Round, DbError>
    where
        F: Future<Output = Vec<Fate>> + Send,
    {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run_on(&self.pool, limits::RELAY, async move |conn| {
            conn.transaction(async move |conn| {
                let rows: Vec<OutboxRow> = outbox::table
                    .select(OutboxRow::as_select())
                    .filter(outbox::parked_at.is_null())
                    .filter(outbox::retry_at.is_null().or(outbox::retry_at.le(diesel::dsl::now)))
                    .order(outbox::id)
                    .limit(limit)
                    .for_update()
                    .skip_locked()
                    .load(conn)
                    .await?;
                if rows.is_empty() {
                    return Ok(Round::default());
                }
                let handles = rows.iter().map(OutboxRow::handle).collect::<Vec<_>>();
                settle(conn, handles.into_iter().zip(publish(rows).await)).await
            })
            .await
        })
        .await
    }

    /// What became of rows that were published without taking them from the table.
    pub async fn settle_outbox(&self, fates: Vec<(Handle, Fate)>) -> Result<Round, DbError> {
        self.run(async move |conn| settle(conn, fates.into_iter()).await).await
    }

    /// Records above `after` that are parked or were written before `before`, in order.
    pub async fn stuck_records(
        &self,
        before: Timestamp,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StuckRecord>, DbError> {
        type Row = (i64, IdColumn, String, TimeColumn, Option<TimeColumn>, Option<String>);
        let rows: Vec<Row> = self
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
    pub async fn forget_parked(&self, id: i64) -> Result<bool, DbError> {
        use super::schema::files;
        let unfinished = files::table
            .filter(files::id.eq(outbox::file_id))
            .filter(files::status.eq_any([Status::Pending.name(), Status::Processing.name()]));
        let parked = outbox::table.filter(
            outbox::id
                .eq(id)
                .and(outbox::parked_at.is_not_null())
                .and(diesel::dsl::not(diesel::dsl::exists(unfinished))),
        );
        let gone = self.run(async move |conn| diesel::delete(parked).execute(conn).await).await?;
        Ok(gone == 1)
    }

    /// Rows not in Kafka yet, parked ones included.
    pub async fn outbox_size(&self) -> Result<i64, DbError> {
        self.run(async |conn| outbox::table.count().load_one(conn).await).await
    }
}
