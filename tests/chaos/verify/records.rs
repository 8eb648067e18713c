//! The topics held against the rows: everything announced, everything answered, nothing dropped (I2, I7, I8, I9).

use std::collections::HashMap;

use rskafka::record::Record;
use uuid::Uuid;

use super::content::may_be_of;
use super::findings::Findings;
use super::history::{Edge, Status, edges};
use super::letters::{Letters, Origin};
use super::log::{self, CREATE, CREATED, EVENTS, Log, Place};
use super::message::{self, Fact, Outcome, Report, Request, header, mark};
use super::rows::Rows;
use super::stories::{Digest, Stories};
use super::{Counted, Failure};
use crate::evidence::Evidence;

/// Which request for a file: its id and the attempt.
type Attempt = (i64, i32);
/// Recognises a value.
pub type Mark = (usize, u64);

/// What `file.created` says of an attempt.
#[derive(Debug, Default, Clone, Copy)]
pub struct Said {
    pub started: u32,
    pub completed: u32,
    pub failed: u32,
}

/// All that the topics tell, gathered before it is judged.
#[derive(Default)]
pub struct Records {
    /// Event ids of the requests, each once, and how many records there are.
    requests: HashMap<Attempt, (Vec<String>, u64)>,
    pub said: HashMap<Attempt, Said>,
    /// Requests that can be read, and where each lies.
    asked: Vec<(Attempt, Place)>,
    /// Records that must become dead letters, with the reason.
    unusable: Vec<(Origin, String)>,
    /// What lies where, of the topics whose records can become dead letters.
    pub marks: HashMap<Origin, Mark>,
}

pub struct Judge<'a> {
    pub evidence: &'a Evidence,
    pub log: &'a Log,
    /// Time like `Log::is_whole_since`.
    pub whole_since: i64,
    pub rows: &'a Rows,
    pub stories: &'a Stories,
    pub findings: &'a mut Findings,
    pub counted: &'a mut Counted,
}

impl Judge<'_> {
    /// Reads and judges every topic but that of the dead letters.
    pub async fn read(&mut self) -> Result<Records, Failure> {
        let mut records = Records::default();
        self.read_requests(&mut records).await?;
        self.read_results(&mut records).await?;
        self.read_facts().await?;
        Ok(records)
    }

    /// Once the dead letters are known.
    pub async fn settle(&mut self, records: &Records, letters: &Letters) -> Result<(), Failure> {
        self.check_requests(records);
        self.check_outcomes(records);
        for (attempt, place) in &records.asked {
            let said = records.said.get(attempt).copied().unwrap_or_default();
            let origin = (CREATE, *place);
            if said.completed + said.failed == 0 && !letters.has(origin) {
                self.findings
                    .add("I8", "request-unanswered", || format!("(file, attempt) {attempt:?} at {origin:?}"));
            }
        }
        for (origin, why) in &records.unusable {
            if !letters.has(*origin) {
                self.findings.add("I8", "poison-without-letter", || format!("{origin:?}: {why}"));
            }
        }
        for (group, topic) in log::groups(self.evidence) {
            for behind in self.log.lag(&group, topic).await? {
                self.findings.add("I8", "not-committed", || behind);
            }
        }
        Ok(())
    }

    async fn read_requests(&mut self, records: &mut Records) -> Result<(), Failure> {
        let read = |place, record: Record| {
            let value = record.value.as_deref();
            let event = header(&record, "event-id").map(str::to_owned);
            (place, mark(value), event, message::request(value))
        };
        let log = self.log;
        let count = log
            .read(CREATE, read, |(place, mark, event, request)| {
                records.marks.insert((CREATE, place), mark);
                match request {
                    Ok(request) => self.take_request(records, place, event, &request),
                    Err(why) => records.unusable.push(((CREATE, place), why)),
                }
            })
            .await?;
        self.counted.records.insert(CREATE.to_owned(), count);
        Ok(())
    }

    fn take_request(
        &mut self,
        records: &mut Records,
        place: Place,
        event: Option<String>,
        request: &Request,
    ) {
        let (id, attempt) = (request.file_id, request.attempt);
        records.asked.push(((id, attempt), place));
        let (events, count) = records.requests.entry((id, attempt)).or_default();
        *count += 1;
        let is_ours = event.is_some();
        events.extend(event.filter(|event| !events.contains(event)));
        let known = self.rows.by_id.get(&id).filter(|row| attempt <= row.attempt);
        let Some(row) = known else {
            if is_ours {
                self.findings
                    .add("I7", "request-of-nobody", || format!("file {id}, attempt {attempt}, {place:?}"));
            }
            return;
        };
        let story = row.number.and_then(|number| self.stories.by_number.get(&number));
        let is_same = story.is_none_or(|story| {
            story.title == request.title
                && story.description == request.description.as_deref().map(Digest::of)
        });
        if !is_same || request.timestamp != row.created_at {
            self.findings.add("I7", "request-differs", || format!("file {id}, attempt {attempt}, {place:?}"));
        }
    }

    async fn read_results(&mut self, records: &mut Records) -> Result<(), Failure> {
        let read = |place, record: Record| {
            let value = record.value.as_deref();
            (place, mark(value), message::report(value))
        };
        let log = self.log;
        let count = log
            .read(CREATED, read, |(place, mark, report)| {
                records.marks.insert((CREATED, place), mark);
                let taken = report.and_then(|report| self.take_report(records, &report));
                if let Err(why) = taken {
                    records.unusable.push(((CREATED, place), why));
                }
            })
            .await?;
        self.counted.records.insert(CREATED.to_owned(), count);
        Ok(())
    }

    /// `Err`: it can be read and not used.
    fn take_report(&self, records: &mut Records, report: &Report) -> Result<(), String> {
        let id = report.file_id;
        let row = self.rows.by_id.get(&id).ok_or_else(|| format!("there is no file {id}"))?;
        if let Some(location) = &report.location
            && !may_be_of(id, &self.evidence.bucket, location)
        {
            return Err(format!("{location} is not of file {id}"));
        }
        let said = records.said.entry((id, report.attempt.unwrap_or(row.attempt))).or_default();
        match report.outcome {
            Outcome::Processing => said.started += 1,
            Outcome::Completed => said.completed += 1,
            Outcome::Failed => said.failed += 1,
        }
        Ok(())
    }

    async fn read_facts(&mut self) -> Result<(), Failure> {
        let read = |place, record: Record| {
            let event = header(&record, "event-id").map(str::to_owned);
            (place, event, message::fact(record.value.as_deref()))
        };
        // By file, in the order of the sequence.
        let mut told: HashMap<i64, Vec<Option<Uuid>>> = HashMap::new();
        let log = self.log;
        let count = log
            .read(EVENTS, read, |(place, event, fact)| match fact {
                Ok(fact) => self.take_fact(&mut told, place, event.as_deref(), &fact),
                Err(why) => {
                    self.findings.add("I7", "fact-unreadable", || format!("{EVENTS} {place:?}: {why}"));
                }
            })
            .await?;
        self.counted.records.insert(EVENTS.to_owned(), count);
        for (id, row) in self.rows.created_since(self.whole_since) {
            let told = told.get(id).map(Vec::as_slice).unwrap_or_default();
            for sequence in 1..=usize::try_from(row.sequence).unwrap_or_default() {
                if told.get(sequence - 1).copied().flatten().is_none() {
                    self.findings.add("I7", "fact-missing", || format!("file {id}: number {sequence}"));
                }
            }
        }
        Ok(())
    }

    fn take_fact(
        &mut self,
        told: &mut HashMap<i64, Vec<Option<Uuid>>>,
        place: Place,
        event: Option<&str>,
        fact: &Fact,
    ) {
        let Fact { file_id: id, sequence, .. } = fact;
        let index = usize::try_from(*sequence).ok().and_then(|sequence| sequence.checked_sub(1));
        let row = self.rows.by_id.get(id);
        let line = row.zip(index).and_then(|(row, index)| edges(&row.lines).nth(index));
        let (Some(index), Some((line, edge))) = (index, line) else {
            self.findings.add("I7", "fact-without-change", || format!("{EVENTS} {place:?}: {fact:?}"));
            return;
        };
        let is_same = fact.kind == kind(edge)
            && Status::read(&fact.status) == Ok(line.to)
            && fact.attempt == line.attempt
            && event == Some(&fact.id);
        let told = told.entry(*id).or_default();
        told.resize(told.len().max(index + 1), None);
        let Some(uuid) = Uuid::parse_str(&fact.id).ok().filter(|_| is_same) else {
            self.findings
                .add("I7", "fact-differs", || format!("{EVENTS} {place:?}: {fact:?}, {event:?}, {line:?}"));
            // It was told, if wrongly.
            told[index].get_or_insert(Uuid::nil());
            return;
        };
        match told[index].replace(uuid).filter(|before| !before.is_nil()) {
            None => {}
            Some(before) if before == uuid => self.counted.duplicate_deliveries += 1,
            Some(_) => {
                self.findings.add("I7", "fact-twice", || format!("file {id}: number {sequence} has two ids"));
            }
        }
    }

    fn check_requests(&mut self, records: &Records) {
        for (attempt, (events, count)) in &records.requests {
            self.counted.duplicate_deliveries += count - 1;
            if events.len() > 1 {
                self.findings
                    .add("I7", "request-twice", || format!("(file, attempt) {attempt:?}: {events:?}"));
            }
        }
        for (id, row) in self.rows.created_since(self.whole_since) {
            for attempt in 1..=row.attempt {
                if !records.requests.contains_key(&(*id, attempt)) && !self.rows.parked.contains(id) {
                    self.findings.add("I7", "request-missing", || format!("file {id}, attempt {attempt}"));
                }
            }
        }
    }

    /// What rows say of workers, workers have said.
    fn check_outcomes(&mut self, records: &Records) {
        for said in records.said.values() {
            self.counted.duplicate_deliveries += u64::from((said.completed + said.failed).saturating_sub(1));
            self.counted.duplicate_deliveries += u64::from(said.started.saturating_sub(1));
        }
        for (id, row) in self.rows.created_since(self.whole_since) {
            for (line, edge) in edges(&row.lines) {
                let said = records.said.get(&(*id, line.attempt)).copied().unwrap_or_default();
                let heard = match edge {
                    Some(Edge::Started) => said.started,
                    Some(Edge::Completed) => said.completed,
                    Some(Edge::Failed) if line.by_worker => said.failed,
                    _ => 1,
                };
                if heard == 0 {
                    self.findings.add("I2", "outcome-unheard", || format!("file {id}: {line:?}, {said:?}"));
                }
            }
        }
    }
}

/// How the documents call it.
fn kind(edge: Option<Edge>) -> &'static str {
    match edge {
        Some(Edge::Accepted) => "file.requested",
        Some(Edge::Started) => "file.processing_started",
        Some(Edge::Completed) => "file.processing_completed",
        Some(Edge::Failed) => "file.processing_failed",
        Some(Edge::Cancelled) => "file.cancelled",
        Some(Edge::Deleted) => "file.deleted",
        Some(Edge::Retried | Edge::Rescued) => "file.requested_again",
        None => "an illegal edge",
    }
}
