//! Records of the topics compared with rows: every request, result and event (I7).

use std::collections::HashMap;

use rskafka::record::Record;
use uuid::Uuid;

use super::Failure;
use super::content::may_be_of;
use super::history::{Status, Transition, transitions};
use super::journal::Digest;
use super::log::{CREATE, CREATED, EVENTS, Place};
use super::message::{self, FileEvent, FileResult, Outcome, Request, fingerprint, header};
use super::topics::{Records, TopicChecker};

impl TopicChecker<'_> {
    /// Reads and checks every topic but the dead letters.
    pub async fn read_records(&mut self) -> Result<Records, Failure> {
        let mut records = Records::default();
        self.read_requests(&mut records).await?;
        self.read_results(&mut records).await?;
        self.read_events().await?;
        Ok(records)
    }

    async fn read_requests(&mut self, records: &mut Records) -> Result<(), Failure> {
        let read = |place, record: Record| {
            let value = record.value.as_deref();
            let event = header(&record, "event-id").map(str::to_owned);
            (place, fingerprint(value), event, message::request(value))
        };
        let log = self.log;
        let count = log
            .read(CREATE, read, |(place, fingerprint, event, request)| {
                records.fingerprints.insert((CREATE, place), fingerprint);
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
        records.readable.push(((id, attempt), place));
        let (events, count) = records.requests.entry((id, attempt)).or_default();
        *count += 1;
        let is_ours = event.is_some();
        events.extend(event.filter(|event| !events.contains(event)));
        let known = self.rows.by_id.get(&id).filter(|row| attempt <= row.attempt);
        let Some(row) = known else {
            if is_ours {
                self.violations
                    .add("I7", "request-without-file", || format!("file {id}, attempt {attempt}, {place:?}"));
            }
            return;
        };
        let sent = row.number.and_then(|number| self.journal.by_number.get(&number));
        let is_same = sent.is_none_or(|sent| {
            sent.title == request.title && sent.description == request.description.as_deref().map(Digest::of)
        });
        if !is_same || request.timestamp != row.created_at {
            self.violations
                .add("I7", "request-differs", || format!("file {id}, attempt {attempt}, {place:?}"));
        }
    }

    async fn read_results(&mut self, records: &mut Records) -> Result<(), Failure> {
        let read = |place, record: Record| {
            let value = record.value.as_deref();
            (place, fingerprint(value), message::result(value))
        };
        let log = self.log;
        let count = log
            .read(CREATED, read, |(place, fingerprint, report)| {
                records.fingerprints.insert((CREATED, place), fingerprint);
                let taken = report.and_then(|report| self.take_result(records, &report));
                if let Err(why) = taken {
                    records.unusable.push(((CREATED, place), why));
                }
            })
            .await?;
        self.counted.records.insert(CREATED.to_owned(), count);
        Ok(())
    }

    /// `Err`: it can be read and not used.
    fn take_result(&self, records: &mut Records, report: &FileResult) -> Result<(), String> {
        let id = report.file_id;
        let row = self.rows.by_id.get(&id).ok_or_else(|| format!("there is no file {id}"))?;
        if let Some(location) = &report.location
            && !may_be_of(id, &self.evidence.bucket, location)
        {
            return Err(format!("{location} is not of file {id}"));
        }
        let results = records.results.entry((id, report.attempt.unwrap_or(row.attempt))).or_default();
        match report.outcome {
            Outcome::Processing => results.started += 1,
            Outcome::Completed => results.completed += 1,
            Outcome::Failed => results.failed += 1,
        }
        Ok(())
    }

    async fn read_events(&mut self) -> Result<(), Failure> {
        let read = |place, record: Record| {
            let event = header(&record, "event-id").map(str::to_owned);
            let is_cloud_event = header(&record, "content-type") == Some("application/cloudevents+json");
            let read = message::file_event(record.value.as_deref());
            (place, event, if is_cloud_event { read } else { Err("content-type".to_owned()) })
        };
        // By file, in the order of the sequence.
        let mut told: HashMap<i64, Vec<Option<Uuid>>> = HashMap::new();
        let log = self.log;
        let count = log
            .read(EVENTS, read, |(place, event, told_event)| match told_event {
                Ok(told_event) => self.take_event(&mut told, place, event.as_deref(), &told_event),
                Err(why) => {
                    self.violations.add("I7", "event-unreadable", || format!("{EVENTS} {place:?}: {why}"));
                }
            })
            .await?;
        self.counted.records.insert(EVENTS.to_owned(), count);
        for (id, row) in self.rows.created_since(self.whole_since) {
            let told = told.get(id).map(Vec::as_slice).unwrap_or_default();
            for sequence in 1..=usize::try_from(row.sequence).unwrap_or_default() {
                if told.get(sequence - 1).copied().flatten().is_none() {
                    self.violations.add("I7", "event-missing", || format!("file {id}: number {sequence}"));
                }
            }
        }
        Ok(())
    }

    fn take_event(
        &mut self,
        told: &mut HashMap<i64, Vec<Option<Uuid>>>,
        place: Place,
        event: Option<&str>,
        told_event: &FileEvent,
    ) {
        let FileEvent { file_id: id, sequence, .. } = told_event;
        if self.rows.uploaded.contains(id) {
            // Two events may announce one of its changes.
            return;
        }
        let index = usize::try_from(*sequence).ok().and_then(|sequence| sequence.checked_sub(1));
        let row = self.rows.by_id.get(id);
        let entry = row.zip(index).and_then(|(row, index)| transitions(&row.entries).nth(index));
        let (Some(index), Some((entry, transition))) = (index, entry) else {
            self.violations
                .add("I7", "event-without-change", || format!("{EVENTS} {place:?}: {told_event:?}"));
            return;
        };
        let is_same = told_event.kind == kind(transition)
            && Status::read(&told_event.status) == Ok(entry.to)
            && told_event.attempt == entry.attempt
            && event == Some(&told_event.id);
        let told = told.entry(*id).or_default();
        told.resize(told.len().max(index + 1), None);
        let Some(uuid) = Uuid::parse_str(&told_event.id).ok().filter(|_| is_same) else {
            self.violations.add("I7", "event-differs", || {
                format!("{EVENTS} {place:?}: {told_event:?}, {event:?}, {entry:?}")
            });
            // It was told, if wrongly.
            told[index].get_or_insert(Uuid::nil());
            return;
        };
        match told[index].replace(uuid).filter(|before| !before.is_nil()) {
            None => {}
            Some(before) if before == uuid => self.counted.duplicate_deliveries += 1,
            Some(_) => {
                self.violations
                    .add("I7", "event-twice", || format!("file {id}: number {sequence} has two ids"));
            }
        }
    }
}

/// Type of the event that announces a transition, as docs/EVENTS.md names it.
fn kind(transition: Option<Transition>) -> &'static str {
    match transition {
        Some(Transition::Accepted) => "file.requested",
        Some(Transition::Started) => "file.processing_started",
        Some(Transition::Completed) => "file.processing_completed",
        Some(Transition::Failed) => "file.processing_failed",
        Some(Transition::Cancelled) => "file.cancelled",
        Some(Transition::Deleted) => "file.deleted",
        Some(Transition::Retried | Transition::Republished) => "file.requested_again",
        None => "an illegal transition",
    }
}
