//! I9: dead letters on the topic and as rows: each with its cause and its original bytes, and its file failed.

use std::collections::{HashMap, HashSet};

use rskafka::record::Record;
use tokio_postgres::Client;

use super::Failure;
use super::history::{Transition, transitions};
use super::log::{CREATE, CREATED, DEAD_LETTERS};
use super::message::{fingerprint, header, named_attempt, request};
use super::rows::ERASED;
use super::topics::{Fingerprint, Origin, Records, ResultCounts, TopicChecker};

/// Size above which a value may leave no room for the headers of a dead letter.
const TOO_LARGE: usize = 1_000_000;

/// Dead letters of a run.
#[derive(Debug, Default)]
pub struct DeadLetters {
    origins: HashSet<Origin>,
    /// File and attempt of requests that became dead letters.
    requests: HashSet<(i64, i32)>,
}

/// A dead letter on the topic, or its row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DeadLetter {
    id: Option<String>,
    cause: String,
    origin: Option<Origin>,
    fingerprint: Fingerprint,
    is_empty: bool,
    /// File and attempt that the value names.
    named: Option<(i64, i32)>,
    /// True if it can be parsed: another delivery of it may have been handled.
    is_readable: bool,
}

impl DeadLetters {
    pub fn has(&self, origin: Origin) -> bool {
        self.origins.contains(&origin)
    }
}

impl TopicChecker<'_> {
    pub async fn read_dead_letters(
        &mut self,
        client: &Client,
        records: &Records,
    ) -> Result<DeadLetters, Failure> {
        let mut on_topic = Vec::new();
        let log = self.log;
        let count = log
            .read(DEAD_LETTERS, |_, record| of_record(&record), |dead_letter| on_topic.push(dead_letter))
            .await?;
        self.counted.records.insert(DEAD_LETTERS.to_owned(), count);
        let rows = of_rows(client).await?;
        self.counted.dead_letters = u64::try_from(rows.len()).unwrap_or_default();

        let stored: HashMap<&str, &DeadLetter> =
            rows.iter().filter_map(|dead_letter| Some((dead_letter.id.as_deref()?, dead_letter))).collect();
        let mut known: HashSet<&str> = HashSet::new();
        let mut dead_letters = DeadLetters::default();
        for dead_letter in &on_topic {
            let row = dead_letter.id.as_deref().and_then(|id| stored.get(id)).copied();
            if dead_letter.id.as_deref().is_none_or(|id| known.insert(id)) {
                self.check_dead_letter(dead_letter, row, records);
            } else {
                // The cause may differ when a record is dead-lettered twice.
                self.counted.duplicate_deliveries += 1;
            }
            dead_letters.take(dead_letter);
        }
        for dead_letter in
            rows.iter().filter(|dead_letter| dead_letter.id.as_deref().is_none_or(|id| !known.contains(id)))
        {
            if self.evidence.log_lost {
                dead_letters.take(dead_letter);
            } else {
                self.violations.add("I9", "dead-letter-row-without-record", || format!("{dead_letter:?}"));
            }
        }
        self.check_failures(&dead_letters);
        Ok(dead_letters)
    }

    fn check_dead_letter(&mut self, dead_letter: &DeadLetter, row: Option<&DeadLetter>, records: &Records) {
        let Some(origin) =
            dead_letter.origin.filter(|_| dead_letter.id.is_some() && !dead_letter.cause.is_empty())
        else {
            self.violations.add("I9", "dead-letter-incomplete", || format!("{dead_letter:?}"));
            return;
        };
        match row {
            None => self.violations.add("I9", "dead-letter-not-stored", || format!("{dead_letter:?}")),
            // Erased together with its deleted file.
            Some(row) if row.cause == ERASED && row.is_empty && row.origin == dead_letter.origin => {}
            Some(row) if row != dead_letter => {
                self.violations
                    .add("I9", "dead-letter-stored-wrongly", || format!("{dead_letter:?} as {row:?}"));
            }
            Some(_) => {}
        }
        // The original records were lost with the log.
        if self.evidence.log_lost {
            return;
        }
        match records.fingerprints.get(&origin) {
            None => self.violations.add("I9", "dead-letter-without-record", || format!("{dead_letter:?}")),
            Some((length, _)) if dead_letter.is_empty && *length > TOO_LARGE => {}
            Some(fingerprint) if *fingerprint != dead_letter.fingerprint => {
                self.violations
                    .add("I9", "dead-letter-bytes-differ", || format!("{dead_letter:?}, {fingerprint:?}"));
            }
            Some(_) => {}
        }
        let named =
            dead_letter.named.filter(|(id, _)| origin.0 == CREATE && self.rows.by_id.contains_key(id));
        let ended =
            |results: &ResultCounts| results.failed > 0 || dead_letter.is_readable && results.completed > 0;
        if let Some(attempt) = named
            && !records.results.get(&attempt).is_some_and(ended)
        {
            self.violations.add("I9", "dead-letter-without-failure", || format!("{dead_letter:?}"));
        }
    }

    /// Checks that a worker that gave up published the request as a dead letter.
    fn check_failures(&mut self, dead_letters: &DeadLetters) {
        for (id, row) in self.rows.created_since(self.whole_since) {
            for (entry, transition) in transitions(&row.entries) {
                let given_up = transition == Some(Transition::Failed) && entry.by_worker;
                if given_up && !dead_letters.requests.contains(&(*id, entry.attempt)) {
                    self.violations
                        .add("I9", "failed-without-dead-letter", || format!("file {id}: {entry:?}"));
                }
            }
        }
    }
}

impl DeadLetters {
    fn take(&mut self, dead_letter: &DeadLetter) {
        let Some(origin) = dead_letter.origin else { return };
        self.origins.insert(origin);
        if origin.0 == CREATE {
            self.requests.extend(dead_letter.named);
        }
    }
}

fn of_record(record: &Record) -> DeadLetter {
    let number = |name| header(record, name)?.parse::<i64>().ok();
    let partition = number("x-original-partition").and_then(|number| i32::try_from(number).ok());
    let value = record.value.as_deref();
    DeadLetter {
        id: header(record, "x-letter-id").map(str::to_owned),
        cause: header(record, "x-error").unwrap_or_default().to_owned(),
        origin: origin(header(record, "x-original-topic"), partition, number("x-original-offset")),
        fingerprint: fingerprint(value),
        is_empty: value.is_none(),
        named: named_attempt(value),
        is_readable: request(value).is_ok(),
    }
}

async fn of_rows(client: &Client) -> Result<Vec<DeadLetter>, Failure> {
    let sql = "SELECT letter_id::text, error, original_topic, original_partition, original_offset, value
               FROM dead_letters ORDER BY id";
    let rows = client.query(sql, &[]).await?;
    let dead_letter = |row: &tokio_postgres::Row| {
        let value: Option<&[u8]> = row.get(5);
        DeadLetter {
            id: Some(row.get(0)),
            cause: row.get(1),
            origin: origin(row.get(2), row.get(3), row.get(4)),
            fingerprint: fingerprint(value),
            is_empty: value.is_none(),
            named: named_attempt(value),
            is_readable: request(value).is_ok(),
        }
    };
    Ok(rows.iter().map(dead_letter).collect())
}

/// `None` if it is incomplete, or names a topic without dead letters. The name has no prefix.
fn origin(topic: Option<&str>, partition: Option<i32>, offset: Option<i64>) -> Option<Origin> {
    let topic = [CREATE, CREATED].into_iter().find(|own| Some(*own) == topic)?;
    Some((topic, (partition?, offset?)))
}
