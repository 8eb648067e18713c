//! Report of a run, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::evidence::Evidence;
use crate::faults::Done;
use crate::latency::Latency;
use crate::load::Counts;
use crate::load::watch::Watched;
use crate::stage::{Role, Stage};
use crate::verify::{Counted, Violation};

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub seed: u64,
    pub folder: PathBuf,
    pub took: Duration,
    #[serde(flatten)]
    pub done: Done,
    /// Number of roles killed by SIGKILL: at crash points and otherwise.
    pub kills: u64,
    /// Number of times that each crash point fired.
    pub crash_points: BTreeMap<String, u64>,
    pub starts: u64,
    /// Requests that the S3 proxy answered by itself.
    pub s3_hits: u64,
    pub counts: Counts,
    /// From when to when, in the load's time, a service was unavailable.
    pub outage: Option<(Duration, Duration)>,
    pub latency: Latency,
    pub watched: Watched,
    pub drained: Option<Duration>,
    pub counted: Counted,
    pub violations: Vec<Violation>,
    /// Evidence, for another look.
    #[serde(skip)]
    pub evidence: Option<Evidence>,
}

/// Violations of one kind that are shown; the JSON has all.
const SHOWN: usize = 5;

impl Report {
    pub fn new(seed: u64, folder: &Path) -> Self {
        Self { seed, folder: folder.to_owned(), ..Self::default() }
    }

    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Counts what the roles' logs say, and what must not be in them.
    pub fn look_at(&mut self, stage: &Stage) {
        self.latency = Latency::of(&stage.journal(), self.outage);
        self.s3_hits = stage.services.s3_proxy.hits();
        self.evidence = Some(stage.evidence());
        self.kills = stage.roles.all().map(Role::kills).sum();
        self.starts = stage.roles.all().map(Role::starts).sum();
        for role in stage.roles.all() {
            let log = std::fs::read(&role.log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            for line in log.lines() {
                if let Some((_, point)) = line.split_once("crash point fires point=") {
                    let point = point.split_whitespace().next().unwrap_or_default();
                    *self.crash_points.entry(point.to_owned()).or_default() += 1;
                }
                // Those that were asked for come from there.
                if line.contains("panicked at") && !line.contains("src/faults/") {
                    let detail = format!("{}: {line}", role.name);
                    self.violations.push(Violation { invariant: "I2", check: "panicked", detail });
                }
            }
        }
    }

    pub fn write(&self, file: &Path) {
        std::fs::write(file, serde_json::to_vec_pretty(self).unwrap()).unwrap();
    }

    /// Checks that found something, each once, as `I4 orphans`.
    pub fn caught_by(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.violations.iter().map(|found| format!("{} {}", found.invariant, found.check)).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, counts, counted, watched, .. } = self;
        writeln!(f, "\nfault                  times   first progress after the heal, median and longest")?;
        for (kind, times) in &done.faults {
            let mut millis = done.recoveries.get(kind).cloned().unwrap_or_default();
            millis.sort_unstable();
            let seconds =
                |at: usize| millis.get(at).map_or("-".to_owned(), |ms| format!("{:.1} s", secs(*ms)));
            let (median, longest) = (seconds(millis.len() / 2), seconds(millis.len().wrapping_sub(1)));
            writeln!(f, "{kind:<20} {times:>7}   {median:>8} {longest:>8}")?;
        }
        for (point, times) in &self.crash_points {
            writeln!(f, "at {point:<17} {times:>7}")?;
        }
        for (what, records) in &done.injected {
            writeln!(f, "{:<20} {records:>7}", format!("{what}, records"))?;
        }
        let drained = self.drained.map_or("not".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
        let rows = [
            ("kill -9 of a role", self.kills.to_string()),
            ("S3 requests hit", self.s3_hits.to_string()),
            ("requests", counts.sent.to_string()),
            ("accepted", counts.accepted.to_string()),
            ("refused (bad input)", counts.refused.to_string()),
            ("without clear answer", counts.unclear.to_string()),
            ("POSTs", counts.posts.to_string()),
            ("POSTs answered 201", format!("{:.2} %", counts.availability())),
            ("POST median", self.latency.median.clone()),
            ("POST p99", self.latency.p99.clone()),
            ("longest POST", format!("{:.1} s", counts.longest_post.as_secs_f64())),
            ("looks, downloads", format!("{}, {}", watched.looks, watched.downloads)),
            ("rows", counted.rows.to_string()),
            ("completed", counted.completed.to_string()),
            ("failed", counted.failed.to_string()),
            ("objects", counted.objects.to_string()),
            ("duplicate deliveries", counted.duplicate_deliveries.to_string()),
            ("dead letters", counted.dead_letters.to_string()),
            ("drained in", drained),
            ("lost", counted.lost.to_string()),
            ("duplicates with effect", counted.duplicate_effects.to_string()),
            ("orphans", counted.orphans.to_string()),
            ("stuck", counted.stuck.to_string()),
            ("violations", self.violations.len().to_string()),
            ("seed", self.seed.to_string()),
        ];
        for (name, value) in rows {
            writeln!(f, "{name:<24} {value:>12}")?;
        }
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for Violation { invariant, check, detail } in &self.violations {
            let count = shown.entry(check).or_default();
            *count += 1;
            if *count <= SHOWN {
                writeln!(f, "{invariant} {check}: {detail}")?;
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
fn secs(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
