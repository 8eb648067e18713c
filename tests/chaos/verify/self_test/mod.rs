//! The judge judged: breaks one thing at a time in what a clean run left behind; the right checks must see it, and no
//! others.
//!
//! `self_test(&evidence)` wants a clean run of 100 to 300 requests that has drained, and every role stopped. It takes a
//! second or two for each thing. Rows, objects and the journal are mended; what is appended to Kafka stays, so nothing
//! may be verified there afterwards.

mod journal;
mod objects;
mod pen;
mod records;
mod rows;
mod watch;

use std::collections::HashSet;

use tokio_postgres::Client;

use super::objects::Store;
use super::rows::connect;
use super::{Failure, Verdict, verify};
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

/// Every trial, in order. One that could not be held is a failed one, and the last.
pub async fn self_test(evidence: &Evidence) -> Vec<Trial> {
    let mut trials = Vec::new();
    if let Err(error) = hold(evidence, &mut trials).await {
        let reported = vec![error.to_string()];
        trials.push(Trial { broke: "the self-test itself", expected: Vec::new(), reported, passed: false });
    }
    trials
}

async fn hold(evidence: &Evidence, trials: &mut Vec<Trial>) -> Result<(), Failure> {
    let client = connect(evidence).await?;
    let victims = Victims::choose(&client).await?;
    let store = Store::of(evidence)?;
    let mut lab = Lab {
        evidence: evidence.clone(),
        client,
        store,
        victims,
        before: HashSet::new(),
        duplicates: 0,
        trials,
    };
    let (clean, _) = lab.see("nothing", &[]).await;
    lab.duplicates = clean.counted.duplicate_deliveries;
    lab.evidence.log_lost = true;
    lab.see("nothing, and the log may be lost", &[]).await;
    lab.evidence.log_lost = false;
    watch::trials(&mut lab).await?;
    rows::trials(&mut lab).await?;
    objects::trials(&mut lab).await?;
    journal::trials(&mut lab).await?;
    records::trials(&mut lab).await
}

/// Files that things are done to.
struct Victims {
    /// Completed by the first attempt; clients did nothing to it. Asked for with a key.
    one: Victim,
    /// Another one.
    other: Victim,
    cancelled: i64,
}

struct Victim {
    id: i64,
    title: String,
    /// Key of its object.
    key: String,
}

impl Victims {
    async fn choose(client: &Client) -> Result<Self, Failure> {
        let sql = "SELECT id, title, s3_location FROM files
                   WHERE status = 'completed' AND attempt = 1 AND sequence = 3 AND description <> ''
                     AND id IN (SELECT file_id FROM idempotency_keys)
                   ORDER BY id LIMIT 2";
        let rows = client.query(sql, &[]).await?;
        let victim = |row: &tokio_postgres::Row| -> Option<Victim> {
            let location: String = row.get(2);
            let key = location.strip_prefix("s3://")?.split_once('/')?.1.to_owned();
            Some(Victim { id: row.get(0), title: row.get(1), key })
        };
        let cancelled = "SELECT id FROM files WHERE status = 'cancelled' ORDER BY id LIMIT 1";
        let cancelled = client.query_opt(cancelled, &[]).await?.ok_or("no file is cancelled")?;
        let mut victims = rows.iter().map(victim);
        let (Some(Some(one)), Some(Some(other))) = (victims.next(), victims.next()) else {
            return Err("too few files are completed".into());
        };
        Ok(Self { one, other, cancelled: cancelled.get(0) })
    }
}

struct Lab<'a> {
    evidence: Evidence,
    client: Client,
    store: Store,
    victims: Victims,
    /// What is known to be wrong: check and detail.
    before: HashSet<(String, String)>,
    /// Deliveries that were recognised as repeated.
    duplicates: u64,
    trials: &'a mut Vec<Trial>,
}

impl Lab<'_> {
    /// Verifies and notes which checks report something that they didn't before. What was found.
    async fn see(&mut self, broke: &'static str, expected: &[&str]) -> (Verdict, HashSet<(String, String)>) {
        let verdict = verify(&self.evidence).await;
        let found: HashSet<(String, String)> =
            verdict.violations.iter().map(|found| (found.check.to_owned(), found.detail.clone())).collect();
        let mut reported: Vec<String> =
            found.difference(&self.before).map(|(check, _)| check.clone()).collect();
        reported.sort_unstable();
        reported.dedup();
        let mut expected: Vec<String> = expected.iter().map(|check| (*check).to_owned()).collect();
        expected.sort_unstable();
        let passed = expected == reported;
        self.trials.push(Trial { broke, expected, reported, passed });
        (verdict, found)
    }
}
