//! Figures of each run, their medians, and a table of them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::ceilings::{Ceiling, Ceilings};
use super::drive::Posted;
use super::processes::Usages;
use super::roles::EndState;
use super::{Args, Outcome, cores};

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Percentiles {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at =
            |percent: usize| values.get((values.len() * percent / 100).min(values.len().saturating_sub(1)));
        let at = |percent| at(percent).copied().unwrap_or(f64::NAN);
        Self { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

/// Times in milliseconds, rates per second.
#[derive(Debug, Serialize)]
pub struct Run {
    pub files: usize,
    pub accepted_per_second: f64,
    pub completed_per_second: f64,
    pub post_ms: Percentiles,
    /// Times seen by clients that followed each file, otherwise as the rows say.
    pub completion_ms: Percentiles,
    pub own_cpu_ms_per_file: f64,
    pub all_cpu_ms_per_file: f64,
    pub own_peak_mib: f64,
    pub own_share_mib: f64,
    pub usage: Usages,
    pub rows: i64,
    pub objects: usize,
    pub outbox: i64,
}

/// Names of the product's own processes.
pub const OWN_PROCESSES: [&str; 5] = ["serve", "worker", "worker 2", "worker 3", "up, with its PostgreSQL"];

impl Run {
    pub fn new(posted: Posted, finished: Instant, usage: Usages, end: EndState) -> Self {
        let count = posted.posts.len();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let files = count as f64;
        let millis = |times: Vec<Duration>| times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        let own = || usage.0.iter().filter(|(name, _)| OWN_PROCESSES.contains(&name.as_str()));
        let own_cpu: f64 = own().map(|(_, usage)| usage.cpu_seconds).sum();
        let all_cpu: f64 = usage.0.values().map(|usage| usage.cpu_seconds).sum();
        let completions = if posted.completions.is_empty() { end.millis } else { millis(posted.completions) };
        Self {
            files: count,
            accepted_per_second: files / posted.took.as_secs_f64(),
            completed_per_second: files / finished.duration_since(posted.begun).as_secs_f64(),
            post_ms: Percentiles::of(millis(posted.posts)),
            completion_ms: Percentiles::of(completions),
            own_cpu_ms_per_file: own_cpu * 1000.0 / files,
            all_cpu_ms_per_file: all_cpu * 1000.0 / files,
            own_peak_mib: own().map(|(_, usage)| usage.peak_mib).sum(),
            own_share_mib: own().map(|(_, usage)| usage.share_mib).sum(),
            usage,
            rows: end.completed,
            objects: end.objects,
            outbox: end.outbox,
        }
    }

    /// Fails the run if anything was lost.
    pub fn check(&self, files: usize) -> Outcome<()> {
        let whole = usize::try_from(self.rows) == Ok(files) && self.objects == files && self.outbox == 0;
        if whole {
            return Ok(());
        }
        let Self { rows, objects, outbox, .. } = self;
        Err(format!("{files} files, but {rows} completed rows, {objects} objects, {outbox} in the outbox")
            .into())
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    what: String,
    cores: usize,
    pub runs: Vec<Run>,
    pub ceilings: Option<Ceilings>,
}

impl Report {
    pub fn new(args: &Args) -> Self {
        let roles = if args.up { "filesys up" } else { "serve and worker on PostgreSQL, Kafka and S3" };
        let load = match args.idle {
            Some(files) => format!("{files} files, one at a time"),
            None => format!("{} files, {} at once", args.files, args.connections),
        };
        let disk = if args.s3_in_memory { "; S3 in memory" } else { "" };
        let Args { workers, processes, concurrency, .. } = args;
        let members = format!("{workers} worker members in {processes} processes, {concurrency} files each");
        let what = format!("{roles}{disk}; {load}; {members}");
        let cores = cores();
        Self { what, cores, runs: Vec::new(), ceilings: None }
    }

    fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        Percentiles::of(self.runs.iter().map(figure).collect()).p50
    }

    pub fn table(&self) -> String {
        let mut out = format!("{}; {} cores; medians of {} runs\n", self.what, self.cores, self.runs.len());
        let mut line = |name: &str, value: f64, unit: &str| {
            // Writing to a String can't fail.
            let _ = writeln!(out, "{name:<34} {value:>10.2} {unit}");
        };
        line("accepted", self.median(|run| run.accepted_per_second), "files/s");
        line("end to end", self.median(|run| run.completed_per_second), "files/s");
        for (name, of) in [("POST", 0), ("POST to completed", 1)] {
            let times = |run: &Run| if of == 0 { run.post_ms } else { run.completion_ms };
            line(&format!("{name} p50"), self.median(|run| times(run).p50), "ms");
            line(&format!("{name} p95"), self.median(|run| times(run).p95), "ms");
            line(&format!("{name} p99"), self.median(|run| times(run).p99), "ms");
            line(&format!("{name} max"), self.median(|run| times(run).max), "ms");
        }
        line("CPU of ours", self.median(|run| run.own_cpu_ms_per_file), "ms/file");
        line("CPU of all", self.median(|run| run.all_cpu_ms_per_file), "ms/file");
        line("memory of ours, peak", self.median(|run| run.own_peak_mib), "MiB");
        line("  at the end, shared pages once", self.median(|run| run.own_share_mib), "MiB");
        let names = self.runs.iter().flat_map(|run| run.usage.0.keys());
        for name in names.collect::<BTreeSet<_>>() {
            let of = |run: &Run| run.usage.0.get(name).copied().unwrap_or_default();
            line(&format!("  {name}: CPU"), self.median(|run| of(run).cpu_seconds), "s");
            line(&format!("  {name}: memory, peak"), self.median(|run| of(run).peak_mib), "MiB");
        }
        let last = self.runs.last();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let counts = last.map_or([0.0; 3], |run| [run.rows as f64, run.objects as f64, run.outbox as f64]);
        for (name, count) in ["completed rows", "objects", "rows in the outbox"].into_iter().zip(counts) {
            line(&format!("at the end: {name}"), count, "");
        }
        let rate = self.median(|run| run.completed_per_second);
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let cpu_left = self.cores as f64 - rate * self.median(|run| run.all_cpu_ms_per_file) / 1000.0;
        line("cores left idle", cpu_left, "");
        if let Some(ceilings) = &self.ceilings {
            for ceiling in ceilings.all() {
                let Ceiling { name, per_second, cpu_ms, .. } = ceiling;
                line(&format!("ceiling: {name}"), *per_second, "/s");
                line("  which makes", ceiling.files_per_second(), "files/s");
                line("  CPU of all", *cpu_ms, "ms each");
            }
            line("end to end of the lowest ceiling", rate / ceilings.lowest() * 100.0, "%");
            line("  of the lowest in batches", rate / ceilings.lowest_batched() * 100.0, "%");
            let together = ceilings.together(self.cores);
            line("ceiling: all of them together", together, "files/s");
            line("end to end of that", rate / together * 100.0, "%");
        }
        out
    }
}
