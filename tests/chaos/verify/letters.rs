//! I9: what was put aside, on the topic and as rows: each with its cause and its original bytes, its file failed.

use std::collections::{HashMap, HashSet};

use rskafka::record::Record;
use tokio_postgres::Client;

use super::Failure;
use super::history::{Edge, edges};
use super::log::{CREATE, CREATED, DEAD_LETTERS, Place};
use super::message::{header, mark, named, request};
use super::records::{Judge, Mark, Records, Said};
use super::rows::ERASED;

/// Where a record lay that was put aside.
pub type Origin = (&'static str, Place);

/// Above this, a value may leave no room for the headers of a dead letter.
const TOO_LARGE: usize = 1_000_000;

/// What was put aside.
#[derive(Debug, Default)]
pub struct Letters {
    origins: HashSet<Origin>,
    /// File and attempt of requests that were put aside.
    requests: HashSet<(i64, i32)>,
}

/// A dead letter on the topic, or its row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Letter {
    id: Option<String>,
    cause: String,
    origin: Option<Origin>,
    mark: Mark,
    is_empty: bool,
    /// File and attempt that the value names.
    named: Option<(i64, i32)>,
    /// Another delivery of it may have been handled.
    is_readable: bool,
}

impl Letters {
    pub fn has(&self, origin: Origin) -> bool {
        self.origins.contains(&origin)
    }
}

impl Judge<'_> {
    pub async fn read_letters(&mut self, client: &Client, records: &Records) -> Result<Letters, Failure> {
        let mut on_topic = Vec::new();
        let log = self.log;
        let count =
            log.read(DEAD_LETTERS, |_, record| of_record(&record), |letter| on_topic.push(letter)).await?;
        self.counted.records.insert(DEAD_LETTERS.to_owned(), count);
        let rows = of_rows(client).await?;
        self.counted.dead_letters = u64::try_from(rows.len()).unwrap_or_default();

        let kept: HashMap<&str, &Letter> =
            rows.iter().filter_map(|letter| Some((letter.id.as_deref()?, letter))).collect();
        let mut known: HashSet<&str> = HashSet::new();
        let mut letters = Letters::default();
        for letter in &on_topic {
            let row = letter.id.as_deref().and_then(|id| kept.get(id)).copied();
            if letter.id.as_deref().is_none_or(|id| known.insert(id)) {
                self.check_letter(letter, row, records);
            } else {
                // Another time that record may have been put aside for another reason.
                self.counted.duplicate_deliveries += 1;
            }
            letters.take(letter);
        }
        for letter in rows.iter().filter(|letter| letter.id.as_deref().is_none_or(|id| !known.contains(id))) {
            if self.evidence.log_lost {
                letters.take(letter);
            } else {
                self.findings.add("I9", "letter-row-of-nothing", || format!("{letter:?}"));
            }
        }
        self.check_failures(&letters);
        Ok(letters)
    }

    fn check_letter(&mut self, letter: &Letter, row: Option<&Letter>, records: &Records) {
        let Some(origin) = letter.origin.filter(|_| letter.id.is_some() && !letter.cause.is_empty()) else {
            self.findings.add("I9", "letter-says-too-little", || format!("{letter:?}"));
            return;
        };
        match row {
            None => self.findings.add("I9", "letter-not-kept", || format!("{letter:?}")),
            // Its file was deleted, and with that the letter erased.
            Some(row) if row.cause == ERASED && row.is_empty && row.origin == letter.origin => {}
            Some(row) if row != letter => {
                self.findings.add("I9", "letter-kept-wrongly", || format!("{letter:?} as {row:?}"));
            }
            Some(_) => {}
        }
        // The rest is compared with what the topics had before they were lost.
        if self.evidence.log_lost {
            return;
        }
        match records.marks.get(&origin) {
            None => self.findings.add("I9", "letter-of-nothing", || format!("{letter:?}")),
            Some((length, _)) if letter.is_empty && *length > TOO_LARGE => {}
            Some(mark) if *mark != letter.mark => {
                self.findings.add("I9", "letter-bytes-differ", || format!("{letter:?}, {mark:?}"));
            }
            Some(_) => {}
        }
        let named = letter.named.filter(|(id, _)| origin.0 == CREATE && self.rows.by_id.contains_key(id));
        let ended = |said: &Said| said.failed > 0 || letter.is_readable && said.completed > 0;
        if let Some(attempt) = named
            && !records.said.get(&attempt).is_some_and(ended)
        {
            self.findings.add("I9", "letter-without-failure", || format!("{letter:?}"));
        }
    }

    /// A worker that gives up puts the request aside.
    fn check_failures(&mut self, letters: &Letters) {
        for (id, row) in self.rows.created_since(self.whole_since) {
            for (line, edge) in edges(&row.lines) {
                let given_up = edge == Some(Edge::Failed) && line.by_worker;
                if given_up && !letters.requests.contains(&(*id, line.attempt)) {
                    self.findings.add("I9", "failed-without-letter", || format!("file {id}: {line:?}"));
                }
            }
        }
    }
}

impl Letters {
    fn take(&mut self, letter: &Letter) {
        let Some(origin) = letter.origin else { return };
        self.origins.insert(origin);
        if origin.0 == CREATE {
            self.requests.extend(letter.named);
        }
    }
}

fn of_record(record: &Record) -> Letter {
    let number = |name| header(record, name)?.parse::<i64>().ok();
    let partition = number("x-original-partition").and_then(|number| i32::try_from(number).ok());
    let value = record.value.as_deref();
    Letter {
        id: header(record, "x-letter-id").map(str::to_owned),
        cause: header(record, "x-error").unwrap_or_default().to_owned(),
        origin: origin(header(record, "x-original-topic"), partition, number("x-original-offset")),
        mark: mark(value),
        is_empty: value.is_none(),
        named: named(value),
        is_readable: request(value).is_ok(),
    }
}

async fn of_rows(client: &Client) -> Result<Vec<Letter>, Failure> {
    let sql = "SELECT letter_id::text, error, original_topic, original_partition, original_offset, value
               FROM dead_letters ORDER BY id";
    let rows = client.query(sql, &[]).await?;
    let letter = |row: &tokio_postgres::Row| {
        let value: Option<&[u8]> = row.get(5);
        Letter {
            id: Some(row.get(0)),
            cause: row.get(1),
            origin: origin(row.get(2), row.get(3), row.get(4)),
            mark: mark(value),
            is_empty: value.is_none(),
            named: named(value),
            is_readable: request(value).is_ok(),
        }
    };
    Ok(rows.iter().map(letter).collect())
}

/// `None`: it doesn't say, or it's no topic of which records are put aside. The name there has no prefix.
fn origin(topic: Option<&str>, partition: Option<i32>, offset: Option<i64>) -> Option<Origin> {
    let topic = [CREATE, CREATED].into_iter().find(|own| Some(*own) == topic)?;
    Some((topic, (partition?, offset?)))
}
