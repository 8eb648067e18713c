//! PostgreSQL, past the product: rows and histories, read in batches and compared with the journal (I1, I2, I3, I5).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use tokio_postgres::{Client, NoTls};

use super::content::{content, key, sha256};
use super::history::{self, Entry, RowState, Status};
use super::journal::{Digest, Journal, Number};
use super::objects::Objects;
use super::violations::Violations;
use super::{Counted, Failure, uploads};
use crate::evidence::Evidence;

const BATCH: i64 = 2000;
const LIMIT: Duration = Duration::from_mins(1);

/// Row of a file, as far as the other checks need it.
#[derive(Debug)]
pub struct Row {
    /// Number of its request; `None` when there was none.
    pub number: Option<Number>,
    pub attempt: i32,
    pub sequence: i64,
    pub created_at: i64,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Default)]
pub struct Rows {
    pub by_id: HashMap<i64, Row>,
    /// Ids of files whose request the broker will never take.
    pub parked: HashSet<i64>,
    /// Ids of uploaded files, which no request asked for.
    pub uploaded: HashSet<i64>,
}

impl Rows {
    /// Files created from then on, in milliseconds since 1970.
    pub fn created_since(&self, since: i64) -> impl Iterator<Item = (&i64, &Row)> {
        self.by_id.iter().filter(move |(_, row)| row.created_at >= since)
    }
}

pub async fn connect(evidence: &Evidence) -> Result<Client, Failure> {
    let connecting = tokio_postgres::connect(&evidence.database_url, NoTls);
    let (client, connection) = tokio::time::timeout(Duration::from_secs(10), connecting)
        .await
        .map_err(|_| "PostgreSQL does not answer")??;
    // Ends with the client.
    tokio::spawn(async move { drop(connection.await) });
    client.batch_execute(&format!("SET statement_timeout = {}", LIMIT.as_millis())).await?;
    Ok(client)
}

/// Writes a time like the API.
pub fn written(millis: i64) -> String {
    let at = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// In the place of texts of a deleted file.
pub(super) const ERASED: &str = "(deleted)";

/// Reads and checks rows, and takes the objects of completed ones out of `objects`.
pub struct RowReader<'a> {
    pub journal: &'a Journal,
    pub objects: &'a mut Objects,
    pub violations: &'a mut Violations,
    pub counted: &'a mut Counted,
    /// Time like `Log::is_whole_since`.
    pub whole_since: i64,
    pub bucket: &'a str,
}

/// Row as it is stored.
struct Stored {
    id: i64,
    title: String,
    description: Option<String>,
    status: Status,
    location: Option<String>,
    created_at: i64,
    updated_at: i64,
    kind: String,
    size: Option<i64>,
    sha256: Option<String>,
    attempt: i32,
    error: Option<String>,
    sequence: i64,
}

/// History entry with the columns that only its row is compared with: time and error.
type FullEntry = (Entry, i64, Option<String>);

impl RowReader<'_> {
    pub async fn read(mut self, client: &Client) -> Result<Rows, Failure> {
        let mut rows = Rows::default();
        let parked = client.query("SELECT file_id FROM outbox WHERE parked_at IS NOT NULL", &[]).await?;
        rows.parked = parked.iter().map(|row| row.get(0)).collect();
        rows.uploaded = uploads::check(client, self.bucket, self.objects, self.violations).await?;
        let mut after = 0;
        let mut with_row: HashSet<Number> = HashSet::new();
        loop {
            let batch = files(client, after).await?;
            let (Some(first), Some(last)) = (batch.first(), batch.last()) else { break };
            after = last.id;
            let mut entries = transitions(client, first.id, last.id).await?;
            for stored in batch {
                let entries = entries.remove(&stored.id).unwrap_or_default();
                let number = self.compare_with_journal(&stored, &mut with_row);
                rows.by_id.insert(stored.id, self.check(&stored, number, &entries, &rows.parked));
            }
        }
        self.counted.rows = u64::try_from(rows.by_id.len()).unwrap_or_default();
        self.find_lost(&with_row);
        self.check_keys(client, &rows).await?;
        Ok(rows)
    }

    /// Returns the number of its request.
    fn compare_with_journal(&mut self, stored: &Stored, with_row: &mut HashSet<Number>) -> Option<Number> {
        let (id, title) = (stored.id, &stored.title);
        let is_erased = stored.status == Status::Deleted && title == ERASED;
        let found = if is_erased { self.journal.with_id(id) } else { self.journal.with_title(title) };
        let Some((number, sent)) = found else {
            self.violations.add("I1", "row-without-request", || format!("file {id}: {title:?}"));
            return None;
        };
        if !with_row.insert(number) {
            self.violations
                .add("I1", "row-twice", || format!("request {number:?}: file {id} is one of several"));
        }
        if !sent.good || (sent.refused.is_some() && sent.ids.is_empty()) {
            let refused = sent.refused;
            self.violations
                .add("I1", "refused-has-row", || format!("request {number:?} ({refused:?}): file {id}"));
        }
        if sent.ids.iter().any(|answered| *answered != id) {
            let ids = &sent.ids;
            self.violations
                .add("I1", "other-id", || format!("request {number:?}: file {id}, answered {ids:?}"));
        }
        let description = stored.description.as_deref().map(Digest::of);
        let wanted = sent.description.clone().filter(|_| !is_erased);
        if description != wanted {
            self.violations.add("I1", "other-content", || format!("request {number:?}: file {id}"));
        }
        Some(number)
    }

    fn check(
        &mut self,
        stored: &Stored,
        number: Option<Number>,
        entries: &[FullEntry],
        parked: &HashSet<i64>,
    ) -> Row {
        let Stored { id, status, attempt, sequence, created_at, .. } = *stored;
        let counted = match status {
            Status::Completed => &mut self.counted.completed,
            Status::Failed => &mut self.counted.failed,
            Status::Cancelled => &mut self.counted.cancelled,
            Status::Deleted => &mut self.counted.deleted,
            Status::Pending | Status::Processing => {
                self.violations
                    .add("I2", "unfinished", || format!("file {id}: {status:?}, attempt {attempt}"));
                &mut self.counted.stuck
            }
        };
        *counted += 1;
        if let Some((_, at, error)) = entries.last()
            && (*at, error) != (stored.updated_at, &stored.error)
        {
            self.violations.add("I5", "row-is-not-last-entry", || format!("file {id}: time or error"));
        }
        let entries: Vec<Entry> = entries.iter().map(|(entry, ..)| *entry).collect();
        history::check(RowState { id, status, attempt, sequence }, &entries, self.violations);
        if let Some(sent) = number.and_then(|number| self.journal.by_number.get(&number)) {
            history::check_client_transitions(id, &entries, sent, self.violations);
        }
        if created_at >= self.whole_since && history::was_republished(&entries) {
            self.violations.add("I8", "republished", || {
                format!("file {id}: its request was published again: {entries:?}")
            });
        }
        if !parked.contains(&id) && history::failed_without_result(&entries) {
            self.violations.add("I2", "failed-without-result", || {
                format!("file {id}: no worker reported it: {entries:?}")
            });
        }
        if status == Status::Completed {
            self.check_object(stored);
        } else if stored.location.is_some()
            || status != Status::Deleted && (stored.size, &stored.sha256) != (None, &None)
        {
            self.violations.add("I3", "object-of-unfinished", || format!("file {id}: {:?}", stored.location));
        }
        Row { number, attempt, sequence, created_at, entries }
    }

    fn check_object(&mut self, stored: &Stored) {
        let Stored { id, title, created_at, .. } = stored;
        let key = key(*id, title, *created_at);
        let location = format!("s3://{}/{key}", self.bucket);
        if stored.location.as_ref() != Some(&location) {
            let found = &stored.location;
            self.violations
                .add("I3", "location-not-its-own", || format!("file {id}: {found:?}, not {location}"));
        }
        let expected = content(title, stored.description.as_deref(), &written(*created_at));
        let (size, digest) = (expected.len(), sha256(&expected));
        let row_size = stored.size.and_then(|size| usize::try_from(size).ok());
        if (row_size, stored.sha256.as_ref()) != (Some(size), Some(&digest)) {
            let found = (&stored.size, &stored.sha256);
            self.violations
                .add("I3", "row-differs", || format!("file {id}: {found:?}, not {size}, {digest}"));
        }
        if stored.kind != "txt text/plain; charset=utf-8" {
            self.violations.add("I3", "row-differs", || format!("file {id}: {}", stored.kind));
        }
        // At the place that the row names; a wrong place is reported above.
        let prefix = format!("s3://{}/", self.bucket);
        let named = stored.location.as_deref().and_then(|location| location.strip_prefix(&prefix));
        self.objects.reference(*id, named.unwrap_or(&key), (size, digest), self.violations);
    }

    fn find_lost(&mut self, with_row: &HashSet<Number>) {
        for (number, sent) in &self.journal.by_number {
            let title = &sent.title;
            if !sent.ids.is_empty() && !with_row.contains(number) {
                self.violations.add("I1", "accepted-lost", || {
                    format!("request {number:?}, answered 201 as file {:?}: {title:?}", sent.ids)
                });
            }
            if sent.ids.len() > 1 {
                self.violations
                    .add("I1", "one-key-two-files", || format!("request {number:?}: {:?}", sent.ids));
            }
            if !sent.good && !sent.ids.is_empty() {
                self.violations.add("I1", "bad-accepted", || format!("request {number:?}: {title:?}"));
            }
            if let (true, Some(status)) = (sent.good, sent.refused) {
                self.violations
                    .add("I1", "good-refused", || format!("request {number:?}: {status}: {title:?}"));
            }
            for wrong in &sent.wrong {
                self.violations.add("I1", "answer-differs", || format!("request {number:?}: {wrong}"));
            }
        }
        self.counted.requests = u64::try_from(self.journal.by_number.len()).unwrap_or_default();
    }

    /// Checks that idempotency keys lead to the rows of the requests that had them.
    async fn check_keys(&mut self, client: &Client, rows: &Rows) -> Result<(), Failure> {
        let mut after = String::new();
        let mut keys: HashMap<i64, String> = HashMap::new();
        loop {
            let sql = "SELECT id, file_id FROM idempotency_keys WHERE id > $1 ORDER BY id LIMIT $2";
            let batch = client.query(sql, &[&after, &BATCH]).await?;
            let Some(last) = batch.last() else { break };
            after = last.get(0);
            keys.extend(batch.iter().map(|row| (row.get::<_, i64>(1), row.get(0))));
        }
        for (id, row) in &rows.by_id {
            let sent = row.number.and_then(|number| self.journal.by_number.get(&number));
            if let Some(sent) = sent
                && sent.key.as_ref() != keys.get(id)
            {
                self.violations.add("I1", "key-differs", || {
                    format!("file {id}: {:?}, asked for with {:?}", keys.get(id), sent.key)
                });
            }
        }
        Ok(())
    }
}

async fn files(client: &Client, after: i64) -> Result<Vec<Stored>, Failure> {
    let sql = "SELECT id, title, description, status, s3_location, (extract(epoch FROM created_at) * 1000)::bigint,
                      (extract(epoch FROM updated_at) * 1000)::bigint, format || ' ' || content_type, size, sha256,
                      attempt, error, sequence
               FROM files WHERE id > $1 AND origin IS NULL ORDER BY id LIMIT $2";
    let rows = client.query(sql, &[&after, &BATCH]).await?;
    let stored = |row: &tokio_postgres::Row| -> Result<Stored, Failure> {
        Ok(Stored {
            id: row.get(0),
            title: row.get(1),
            description: row.get(2),
            status: Status::read(row.get(3))?,
            location: row.get(4),
            created_at: row.get(5),
            updated_at: row.get(6),
            kind: row.get(7),
            size: row.get(8),
            sha256: row.get(9),
            attempt: row.get(10),
            error: row.get(11),
            sequence: row.get(12),
        })
    };
    rows.iter().map(stored).collect()
}

async fn transitions(client: &Client, from: i64, to: i64) -> Result<HashMap<i64, Vec<FullEntry>>, Failure> {
    let sql = "SELECT file_id, from_status, to_status, transitions.attempt, worker IS NOT NULL,
                      (extract(epoch FROM at) * 1000)::bigint, transitions.error
               FROM transitions JOIN files ON files.id = file_id AND origin IS NULL
               WHERE file_id BETWEEN $1 AND $2 ORDER BY file_id, transitions.id";
    let mut entries: HashMap<i64, Vec<FullEntry>> = HashMap::new();
    for row in client.query(sql, &[&from, &to]).await? {
        let entry = Entry {
            from: row.get::<_, Option<&str>>(1).map(Status::read).transpose()?,
            to: Status::read(row.get(2))?,
            attempt: row.get(3),
            by_worker: row.get(4),
        };
        entries.entry(row.get(0)).or_default().push((entry, row.get(5), row.get(6)));
    }
    Ok(entries)
}
