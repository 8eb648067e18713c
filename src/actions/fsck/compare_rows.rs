//! From the rows to the objects: missing ones; and rows that should have moved on.

use std::time::Duration;

use super::classify::SeenIds;
use super::reads::rows;
use super::recheck::Candidate;
use super::report::{Finding, Kind, Subject};
use super::{BATCH, Stage, Verifier};
use crate::domain::{FileId, Result};

/// Past its deadline, a file fails within this: `serve` looks every ten seconds.
const OVERDUE: Duration = Duration::from_mins(1);

impl Verifier<'_> {
    /// Every completed file whose object was not seen.
    pub(super) async fn completed_rows(&mut self, seen: &SeenIds) -> Result<()> {
        let mut after = FileId(0);
        loop {
            let claims = rows(|| self.reads.db.files().completed_references(after, BATCH)).await?;
            let Some(last) = claims.last() else { return Ok(()) };
            after = last.id;
            self.report.files += claims.len() as u64;
            let others = claims.iter().filter(|claim| !seen.contains(claim.id));
            self.look_again(others.map(|claim| Candidate::Missing(claim.id)).collect()).await?;
            (self.watch)(Stage::Rows, self.report.files, self.expected);
        }
    }

    /// Files past their deadline, records and removals that wait.
    pub(super) async fn stuck_rows(&mut self) -> Result<()> {
        self.overdue_files().await?;
        self.overdue_uploads().await?;
        self.waiting_removals().await?;
        self.stuck_records().await
    }

    async fn overdue_files(&mut self) -> Result<()> {
        let mut after = FileId(0);
        loop {
            let ids = rows(|| self.reads.db.files().overdue(OVERDUE, after, BATCH)).await?;
            let Some(last) = ids.last() else { return Ok(()) };
            after = *last;
            for id in ids {
                let what = "unfinished past its deadline; does serve run?";
                self.report.add(Finding::new(Kind::OverdueFile, Some(id), what));
            }
        }
    }

    async fn overdue_uploads(&mut self) -> Result<()> {
        let mut after = FileId(0);
        loop {
            let ids = rows(|| self.reads.db.uploads().overdue(OVERDUE, after, BATCH)).await?;
            let Some(last) = ids.last() else { return Ok(()) };
            after = *last;
            for id in ids {
                let what = "its bytes stopped arriving long ago; does serve run?";
                self.report.add(Finding::new(Kind::OverdueFile, Some(id), what));
            }
        }
    }

    async fn waiting_removals(&mut self) -> Result<()> {
        let mut after = 0;
        loop {
            let removals =
                rows(|| self.reads.db.object_removals().overdue(self.options.before, after, BATCH)).await?;
            let Some(last) = removals.last() else { return Ok(()) };
            after = last.id;
            for removal in removals {
                let what = format!("to be removed since {}; does serve run?", removal.asked_at);
                let finding = Finding::of_object(Kind::WaitingRemoval, removal.file_id, &removal.key, what);
                self.report.add(finding.about(Subject::Row(removal.id)));
            }
        }
    }

    async fn stuck_records(&mut self) -> Result<()> {
        let mut after = 0;
        loop {
            let records = rows(|| self.reads.db.outbox().stuck(self.options.before, after, BATCH)).await?;
            let Some(last) = records.last() else { return Ok(()) };
            after = last.id;
            for record in records {
                let (kind, what) = match &record.parked {
                    Some(why) => {
                        (Kind::ParkedRecord, format!("Kafka refused it for {}: {why}", record.topic))
                    }
                    None => {
                        let what = format!("waits for {} since {}", record.topic, record.since);
                        (Kind::WaitingRecord, what + "; does serve run, and Kafka?")
                    }
                };
                let finding = Finding::new(kind, Some(record.file_id), what);
                self.report.add(finding.about(Subject::Row(record.id)));
            }
        }
    }
}
