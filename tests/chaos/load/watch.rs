//! Invariants that hold at every moment, checked through the API during the run (I3, I5).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::{Answer, Http, Record};
use super::dice::Dice;
use super::request::Request;
use super::{Accepted, Load, Shared};
use crate::verify::Violation;
use crate::verify::content::{content, sha256};

/// Pause of a reader between two files, so that reading is not the load.
const PAUSE: Duration = Duration::from_millis(20);
/// Share of looks, in per mille, at what was accepted last, where most happens.
const RECENT: u64 = 700;

/// Readers of accepted files. Dropping it ends them.
pub struct Watch {
    eyes: Arc<Eyes>,
    readers: JoinSet<()>,
}

/// Results of the readers.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Watched {
    /// Records that were looked at.
    pub looks: u64,
    /// Contents that were compared byte by byte.
    pub downloads: u64,
    pub violations: Vec<Violation>,
}

struct Eyes {
    load: Arc<Shared>,
    /// Furthest state of each file that any reader has seen.
    seen: Mutex<HashMap<i64, Seen>>,
    watched: Mutex<Watched>,
    stop: CancellationToken,
}

impl Watch {
    /// Reads what `load` has accepted, through the same addresses, until `stop`. Answers that are missing or 5xx are no
    /// violations.
    pub fn start(load: &Load, readers: usize, stop: CancellationToken) -> Self {
        let eyes = Arc::new(Eyes {
            load: Arc::clone(&load.shared),
            seen: Mutex::default(),
            watched: Mutex::default(),
            stop,
        });
        let mut tasks = JoinSet::new();
        for reader in 0..u64::try_from(readers).unwrap_or_default() {
            let eyes = Arc::clone(&eyes);
            let dice = Dice::new(load.shared.plan.seed, (1 << 53) + reader);
            tasks.spawn(
                async move { eyes.stop.run_until_cancelled(eyes.read(dice)).await.unwrap_or_default() },
            );
        }
        Self { eyes, readers: tasks }
    }

    /// Returns what the readers have seen by now.
    pub fn watched(&self) -> Watched {
        self.eyes.watched.lock().expect("no reader panics").clone()
    }

    /// After `stop`.
    ///
    /// # Panics
    /// When a reader did.
    pub async fn finish(mut self) -> Watched {
        while let Some(ended) = self.readers.join_next().await {
            ended.expect("readers don't panic");
        }
        self.watched()
    }
}

/// State of a file as a reader saw it; its rank never falls.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    attempt: i32,
    /// 0 pending, 1 processing, 2 an outcome, 3 deleted.
    rank: u8,
    status: String,
}

impl Seen {
    fn of(record: &Record) -> Self {
        let rank = match record.status.as_str() {
            "pending" => 0,
            "processing" => 1,
            "completed" | "failed" | "cancelled" => 2,
            "deleted" => 3,
            _ => 9,
        };
        Self { attempt: record.attempt, rank, status: record.status.clone() }
    }

    fn how_far(&self) -> (i32, u8) {
        (self.attempt, self.rank)
    }

    /// Tells whether `self` must not be seen after `before`.
    fn goes_back_from(&self, before: &Self) -> bool {
        self.how_far() < before.how_far()
            // Of an attempt's outcomes the first one stands.
            || (self.how_far() == before.how_far() && self.status != before.status)
            // Nothing leaves these.
            || (before.status == "deleted" && self != before)
            || (before.status == "completed" && self.attempt != before.attempt)
            || self.rank == 9
    }
}

impl Eyes {
    async fn read(&self, mut dice: Dice) {
        loop {
            sleep(PAUSE).await;
            let Some(accepted) = self.choose(&mut dice) else { continue };
            let request = Request::of(self.load.plan.seed, accepted.number);
            let serve = self.load.client.http.serve(dice.roll());
            let Some(record) = self.look(&accepted, &request, serve).await else { continue };
            if record.status == "completed" {
                self.download(&accepted, &request, &record, serve).await;
            }
        }
    }

    fn choose(&self, dice: &mut Dice) -> Option<Accepted> {
        const LAST: usize = 50;
        let accepted = self.load.accepted.read().expect("no client panics");
        let from = if dice.chance(RECENT) { accepted.len().saturating_sub(LAST) } else { 0 };
        let choice = &accepted[from..];
        (!choice.is_empty()).then(|| dice.pick(choice).clone())
    }

    async fn look(&self, accepted: &Accepted, request: &Request, serve: usize) -> Option<Record> {
        let id = accepted.id;
        // Before the question: what others see meanwhile may be newer than our answer.
        let before = self.seen.lock().expect("no reader panics").get(&id).cloned();
        let answer = self.get(serve, &format!("/files/{id}")).await;
        if answer.response.status.is_none_or(|status| status >= 500) {
            return None;
        }
        let Some(record) = answer.record().filter(|_| answer.is(200)) else {
            self.found("I1", "accepted-not-found", format!("file {id}: {:?}", answer.response));
            return None;
        };
        self.note(|watched| watched.looks += 1);
        let same = (record.id, &record.title, &record.description, &record.created_at)
            == (id, &request.title, &request.description, &accepted.created_at);
        let is_erased = (&*record.status, &*record.title, &record.description)
            == ("deleted", "(deleted)", &None)
            && record.id == id;
        if !same && !is_erased {
            self.found("I1", "record-changed", format!("file {id}: {record:?}"));
        }
        let now = Seen::of(&record);
        if let Some(before) = before.filter(|before| now.goes_back_from(before)) {
            self.found("I5", "status-went-back", format!("file {id}: {before:?}, then {now:?}"));
        }
        let mut seen = self.seen.lock().expect("no reader panics");
        let furthest = seen.entry(id).or_insert_with(|| now.clone());
        if now.how_far() > furthest.how_far() {
            *furthest = now;
        }
        Some(record)
    }

    async fn download(&self, accepted: &Accepted, request: &Request, record: &Record, serve: usize) {
        let id = accepted.id;
        let answer = self.get(serve, &format!("/files/{id}/content")).await;
        match answer.response.status {
            Some(200) => {
                self.note(|watched| watched.downloads += 1);
                let expected = content(&request.title, request.description.as_deref(), &accepted.created_at);
                let digest = sha256(&expected);
                let size = u64::try_from(expected.len()).ok();
                if answer.body != expected {
                    let detail =
                        format!("file {id}: {} bytes instead of {}", answer.body.len(), expected.len());
                    self.found("I3", "download-differs", detail);
                } else if (record.size, record.sha256.as_ref()) != (size, Some(&digest)) {
                    let detail = format!("file {id}: {record:?} of {size:?} bytes, {digest}");
                    self.found("I3", "record-differs", detail);
                }
            }
            // Told apart from an outage; still, it may have been deleted meanwhile.
            Some(status) if status < 500 || answer.code() == "object_altered" => {
                let now = self.load.client.look(id, serve).await;
                if now.is_some_and(|record| record.status == "completed") {
                    self.found("I3", "completed-not-there", format!("file {id}: {:?}", answer.response));
                }
            }
            None | Some(_) => {}
        }
    }

    async fn get(&self, serve: usize, path: &str) -> Answer {
        Http::send(self.load.client.http.request(Method::GET, serve, path)).await
    }

    fn found(&self, invariant: &'static str, check: &'static str, detail: String) {
        const ENOUGH: usize = 100;
        self.note(|watched| {
            if watched.violations.len() < ENOUGH {
                watched.violations.push(Violation { invariant, check, detail });
            }
        });
    }

    fn note(&self, note: impl FnOnce(&mut Watched)) {
        note(&mut self.watched.lock().expect("no reader panics"));
    }
}
