//! `filesys fsck`: compares the rows with the objects and finds what is stuck; `--repair` repairs what it can.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::output::{Output, json};
use super::{CommandError, CommandResult};
use crate::actions::fsck::repair::{self, RepairOptions};
use crate::actions::fsck::{self, Finding, Options, Report, Stage};
use crate::config::env::parse_duration;
use crate::config::{DeadLettersSettings, Env, S3Config};
use crate::db::Db;
use crate::domain::Error;
use crate::storage::Storage;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Repair what can be; without it nothing is changed
    #[arg(long)]
    repair: bool,
    /// Objects to read and compare: none, those of 1000 completed files, or all
    #[arg(long, value_enum, default_value_t = Checksums::Sample)]
    checksums: Checksums,
    /// Choose the same sample again [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Leave alone what is younger: objects, uploads, removals, records
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = span)]
    grace: Duration,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Checksums {
    None,
    Sample,
    All,
}

impl From<Checksums> for fsck::Checksums {
    fn from(checksums: Checksums) -> Self {
        match checksums {
            Checksums::None => Self::None,
            Checksums::Sample => Self::Sample,
            Checksums::All => Self::All,
        }
    }
}

fn span(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text, Duration::from_secs(1)).ok_or("a time span is written like 30s, 10m or 2h")
}

pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    let DeadLettersSettings { database, events, file_deadline } = DeadLettersSettings::read(&mut env);
    let s3 = S3Config::read(&mut env);
    env.finish()?;
    let db = Db::new(&database.url, database.max_connections).map_err(Error::from)?;
    let storage = Storage::new(&s3).map_err(Error::from)?;
    let seed = args.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let before = db.now().await.map_err(Error::from)?.minus(args.grace);
    let options = Options { before, checksums: args.checksums.into(), seed };
    let progress = Progress::default();
    let watch = |stage, done, total| progress.show(stage, done, total);
    let mut report = fsck::verify(&db, &storage, options, &watch).await?;
    if args.repair {
        let terms = RepairOptions { before, deadline: file_deadline, events };
        repair::repair(&db, &storage, &mut report, terms, &watch).await?;
    }
    progress.end();
    match args.output {
        Output::Table => tables(&report, args.checksums)?,
        Output::Json => {
            json(&Document { dry_run: !args.repair, checksums: args.checksums, report: &report })?;
        }
    }
    match report.left() {
        0 => Ok(()),
        left if args.repair => Err(CommandError::Failed(format!("{left} of the findings are not repaired"))),
        left => {
            Err(CommandError::Failed(format!("{left} findings; `filesys fsck --repair` repairs what it can")))
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    dry_run: bool,
    checksums: Checksums,
    #[serde(flatten)]
    report: &'a Report,
}

fn tables(report: &Report, checksums: Checksums) -> io::Result<()> {
    if !report.findings.is_empty() {
        let columns = ["KIND", "FILE", "KEY", "WHAT", "DONE"];
        Output::Table.print(&report.findings, columns, |finding| {
            let Finding { kind, file_id, key, what, done, .. } = finding.clone();
            let id = file_id.map(|id| id.to_string()).unwrap_or_default();
            [kind.name().to_owned(), id, key.unwrap_or_default(), what, done.unwrap_or_default()]
        })?;
    }
    let mut out = io::stdout();
    if report.unlisted > 0 {
        writeln!(out, "and {} more", report.unlisted)?;
    }
    if !report.findings.is_empty() {
        writeln!(out)?;
    }
    Output::Table.print(&report.counts, ["KIND", "FOUND", "REPAIRED"], |count| {
        [count.kind.name().to_owned(), count.found.to_string(), count.repaired.to_string()]
    })?;
    let Report { bucket, objects, files, read, seed, .. } = report;
    writeln!(out, "\n{objects} objects in bucket {bucket}, {files} completed files, {read} contents read")?;
    if checksums == Checksums::Sample {
        writeln!(out, "the sample: --seed {seed}")?;
    }
    report.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))
}

/// A bar on stderr, where that is a terminal.
#[derive(Default)]
struct Progress(Mutex<Option<(Stage, ProgressBar)>>);

impl Progress {
    fn show(&self, stage: Stage, done: u64, total: u64) {
        if !io::stderr().is_terminal() {
            return;
        }
        // A poisoned bar is none.
        let Ok(mut bar) = self.0.lock() else { return };
        if bar.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            *bar = Some((stage, new_bar(stage)));
        }
        if let Some((_, bar)) = bar.as_ref() {
            bar.set_length(total.max(done));
            bar.set_position(done);
        }
    }

    fn end(&self) {
        if let Ok(Some((_, bar))) = self.0.lock().map(|mut bar| bar.take()) {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(stage: Stage) -> ProgressBar {
    let name = match stage {
        Stage::Objects => "objects",
        Stage::Contents => "contents",
        Stage::Rows => "files",
        Stage::Repairs => "repairs",
    };
    let style = ProgressStyle::with_template("{msg:8} {wide_bar} {human_pos}/{human_len} {eta}");
    let bar = ProgressBar::new(0).with_message(name);
    // The template is a constant; were it wrong, the plain bar does as well.
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
