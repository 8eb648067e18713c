//! `just bench`: a release build of the roles under load, what it costs, and what its services can do without it.

mod ceilings;
mod client;
mod drive;
mod processes;
mod report;
mod stage;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use filesys::embedded::Durability;

use self::report::{Report, Run};
use self::stage::Stage;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
/// Puts a release build of the roles under load and tells what it did and what it cost.
#[derive(Debug, Parser)]
struct Args {
    /// Files of each run
    #[arg(long, default_value_t = 10_000)]
    files: usize,
    /// Requests under way at once
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// Ask for one file at a time instead, and for so many; each is followed until it is completed
    #[arg(long, value_name = "FILES")]
    idle: Option<usize>,
    /// Runs; the medians are reported
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Worker members, in one process
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// `filesys up` alone, with its own parts, instead of `serve` and `worker` on Kafka
    #[arg(long)]
    up: bool,
    /// Artificial processing time of each file
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// Characters of each description
    #[arg(long, value_name = "N", default_value_t = 100)]
    description: usize,
    /// Its own PostgreSQL and S3 don't wait for the disk: then a power cut would lose what they confirmed
    #[arg(long, conflicts_with = "up")]
    no_fsync: bool,
    /// Also measure what PostgreSQL, Kafka and S3 can do without us
    #[arg(long)]
    ceilings: bool,
    /// Another build of filesys, to compare this one with
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_filesys"))]
    executable: PathBuf,
    /// `RUST_LOG` of the roles
    #[arg(long, default_value = "info")]
    log: String,
    /// Write the figures there too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run an S3 server in this directory and nothing else
    #[arg(long, value_name = "DIR", hide = true)]
    s3_server: Option<PathBuf>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Outcome<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> Outcome<()> {
    let durability = if args.no_fsync { Durability::Fast } else { Durability::Full };
    if let Some(dir) = &args.s3_server {
        return stage::serve_s3(dir, durability).await;
    }
    let mut report = Report::new(&args);
    let stage = Stage::build(args.executable.clone(), args.up, durability).await?;
    for number in 1..=args.repeat {
        eprintln!("run {number} of {}", args.repeat);
        report.runs.push(one(&args, &stage).await?);
    }
    if args.ceilings {
        report.ceilings = Some(ceilings::measure(&stage, args.connections, args.description).await?);
    }
    stage.tear_down().await;
    std::io::stdout().write_all(report.table().as_bytes())?;
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    Ok(())
}

async fn one(args: &Args, stage: &Stage) -> Outcome<Run> {
    let settings = [
        ("PROCESSING_DELAY_MS", args.delay.to_string()),
        ("RUST_LOG", args.log.clone()),
        ("WORKER_CONCURRENCY", "64".to_owned()),
    ];
    let cast = stage.start(args.workers, &settings).await?;
    let description = "x".repeat(args.description);
    // What is done once, such as preparing statements, is no part of the measure.
    drive::load(&cast.address, 200, args.connections.min(32), &description).await?;
    drive::wait_until_completed(&cast, 200, Duration::from_mins(1)).await?;
    let before = cast.usage();
    let posted = match args.idle {
        Some(files) => drive::one_by_one(&cast.address, files, &description).await?,
        None => drive::load(&cast.address, args.files, args.connections, &description).await?,
    };
    let files = posted.posts.len();
    let finished = drive::wait_until_completed(&cast, 200 + files, Duration::from_mins(10)).await?;
    let after = cast.usage();
    let found = cast.found().await?;
    cast.stop().await?;
    let run = Run::new(posted, finished, after.since(&before), found);
    run.check(200 + files)?;
    Ok(run)
}
