//! Test of the verifier: breaks one thing at a time in what a clean run left; exactly the right checks must report it.
//!
//! `self_test(&evidence)` wants a clean run of 100 to 300 requests that has drained, and every role stopped. It takes a
//! second or two for each thing. Rows, objects and the journal are restored; what is appended to Kafka stays, so nothing
//! may be verified there afterwards.

mod journal;
mod objects;
mod records;
mod rows;
mod watch;
mod writer;

use std::collections::HashSet;

use tokio_postgres::Client;

use super::objects::Store;
use super::rows::connect;
use super::{Failure, Verified, verify};
use crate::evidence::Evidence;

/// Trial: one thing that was broken.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Trial {
    pub broke: &'static str,
    /// The checks that must report something new: the one that is meant, and what follows from it.
    pub expected: Vec<String>,
    /// Checks that reported it.
    pub reported: Vec<String>,
    pub passed: bool,
}

/// Runs every trial in order. One that could not be run counts as failed and is the last.
pub async fn self_test(evidence: &Evidence) -> Vec<Trial> {
    let mut trials = Vec::new();
    if let Err(error) = run(evidence, &mut trials).await {
        let reported = vec![error.to_string()];
        trials.push(Trial { broke: "the self-test itself", expected: Vec::new(), reported, passed: false });
    }
    trials
}

async fn run(evidence: &Evidence, trials: &mut Vec<Trial>) -> Result<(), Failure> {
    let client = connect(evidence).await?;
    let subjects = Subjects::choose(&client).await?;
    let store = Store::of(evidence)?;
    let mut test = SelfTest {
        evidence: evidence.clone(),
        client,
        store,
        subjects,
        before: HashSet::new(),
        duplicates: 0,
        trials,
    };
    let (clean, _) = test.expect("nothing", &[]).await;
    test.duplicates = clean.counted.duplicate_deliveries;
    test.evidence.log_lost = true;
    test.expect("nothing, and the log may be lost", &[]).await;
    test.evidence.log_lost = false;
    watch::trials(&mut test).await?;
    rows::trials(&mut test).await?;
    objects::trials(&mut test).await?;
    journal::trials(&mut test).await?;
    records::trials(&mut test).await
}

/// Files that the trials alter.
struct Subjects {
    /// Completed by the first attempt; clients did nothing to it. Asked for with a key.
    one: Subject,
    /// Another one.
    other: Subject,
    cancelled: i64,
}

struct Subject {
    id: i64,
    title: String,
    /// Key of its object.
    key: String,
}

impl Subjects {
    async fn choose(client: &Client) -> Result<Self, Failure> {
        let sql = "SELECT id, title, s3_location FROM files
                   WHERE status = 'completed' AND attempt = 1 AND sequence = 3 AND description <> ''
                     AND id IN (SELECT file_id FROM idempotency_keys)
                   ORDER BY id LIMIT 2";
        let rows = client.query(sql, &[]).await?;
        let subject = |row: &tokio_postgres::Row| -> Option<Subject> {
            let location: String = row.get(2);
            let key = location.strip_prefix("s3://")?.split_once('/')?.1.to_owned();
            Some(Subject { id: row.get(0), title: row.get(1), key })
        };
        let cancelled = "SELECT id FROM files WHERE status = 'cancelled' ORDER BY id LIMIT 1";
        let cancelled = client.query_opt(cancelled, &[]).await?.ok_or("no file is cancelled")?;
        let mut subjects = rows.iter().map(subject);
        let (Some(Some(one)), Some(Some(other))) = (subjects.next(), subjects.next()) else {
            return Err("too few files are completed".into());
        };
        Ok(Self { one, other, cancelled: cancelled.get(0) })
    }
}

struct SelfTest<'a> {
    evidence: Evidence,
    client: Client,
    store: Store,
    subjects: Subjects,
    /// Violations that are known: check and detail.
    before: HashSet<(String, String)>,
    /// Deliveries that were recognised as repeated.
    duplicates: u64,
    trials: &'a mut Vec<Trial>,
}

impl SelfTest<'_> {
    /// Verifies, and records which checks report something new.
    async fn expect(
        &mut self,
        broke: &'static str,
        expected: &[&str],
    ) -> (Verified, HashSet<(String, String)>) {
        let verified = verify(&self.evidence).await;
        let found: HashSet<(String, String)> =
            verified.violations.iter().map(|found| (found.check.to_owned(), found.detail.clone())).collect();
        let mut reported: Vec<String> =
            found.difference(&self.before).map(|(check, _)| check.clone()).collect();
        reported.sort_unstable();
        reported.dedup();
        let mut expected: Vec<String> = expected.iter().map(|check| (*check).to_owned()).collect();
        expected.sort_unstable();
        let passed = expected == reported;
        self.trials.push(Trial { broke, expected, reported, passed });
        (verified, found)
    }
}
