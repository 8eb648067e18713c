//! Completeness of the topics: every request answered, every outcome published, every unusable record a dead letter (I2,
//! I7, I8).

use super::Failure;
use super::dead_letters::DeadLetters;
use super::history::{Transition, transitions};
use super::log::{self, CREATE};
use super::topics::{Records, TopicChecker};

impl TopicChecker<'_> {
    /// Checks that every request was answered, after the dead letters have been read.
    pub async fn check_answers(
        &mut self,
        records: &Records,
        dead_letters: &DeadLetters,
    ) -> Result<(), Failure> {
        self.check_requests(records);
        self.check_outcomes(records);
        for (attempt, place) in &records.readable {
            let results = records.results.get(attempt).copied().unwrap_or_default();
            let origin = (CREATE, *place);
            if results.completed + results.failed == 0 && !dead_letters.has(origin) {
                self.violations
                    .add("I8", "request-unanswered", || format!("(file, attempt) {attempt:?} at {origin:?}"));
            }
        }
        for (origin, why) in &records.unusable {
            if !dead_letters.has(*origin) {
                self.violations.add("I8", "poison-without-dead-letter", || format!("{origin:?}: {why}"));
            }
        }
        for (group, topic) in log::groups(self.evidence) {
            for behind in self.log.lag(&group, topic).await? {
                self.violations.add("I8", "not-committed", || behind);
            }
        }
        Ok(())
    }

    fn check_requests(&mut self, records: &Records) {
        for (attempt, (events, count)) in &records.requests {
            self.counted.duplicate_deliveries += count - 1;
            if events.len() > 1 {
                self.violations
                    .add("I7", "request-twice", || format!("(file, attempt) {attempt:?}: {events:?}"));
            }
        }
        for (id, row) in self.rows.created_since(self.whole_since) {
            for attempt in 1..=row.attempt {
                if !records.requests.contains_key(&(*id, attempt)) && !self.rows.parked.contains(id) {
                    self.violations.add("I7", "request-missing", || format!("file {id}, attempt {attempt}"));
                }
            }
        }
    }

    /// Checks that every outcome in a history was published as a result.
    fn check_outcomes(&mut self, records: &Records) {
        for results in records.results.values() {
            self.counted.duplicate_deliveries +=
                u64::from((results.completed + results.failed).saturating_sub(1));
            self.counted.duplicate_deliveries += u64::from(results.started.saturating_sub(1));
        }
        for (id, row) in self.rows.created_since(self.whole_since) {
            for (entry, transition) in transitions(&row.entries) {
                let results = records.results.get(&(*id, entry.attempt)).copied().unwrap_or_default();
                let published = match transition {
                    Some(Transition::Started) => results.started,
                    Some(Transition::Completed) => results.completed,
                    Some(Transition::Failed) if entry.by_worker => results.failed,
                    _ => 1,
                };
                if published == 0 {
                    self.violations
                        .add("I2", "outcome-unpublished", || format!("file {id}: {entry:?}, {results:?}"));
                }
            }
        }
    }
}
