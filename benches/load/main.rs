//! `just bench`: throughput, latency and cost of the roles under load, and what their services can do without them.

mod backlog;
mod ceilings;
mod client;
mod drive;
#[path = "../shared/figures.rs"]
mod figures;
#[path = "../shared/launch.rs"]
mod launch;
mod pollers;
#[path = "../shared/processes.rs"]
mod processes;
mod reads;
mod report;
mod roles;
mod services;
mod stage;
#[path = "../shared/store.rs"]
mod store;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use filesys::embedded::Durability;

use self::report::{Report, Run};
use self::roles::Roles;
use self::stage::{Stage, Workers};

pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
/// Puts the roles, built as they are shipped, under load and reports throughput, latency and cost.
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
    /// Runs before those, which are not reported: a Kafka that has just started takes twice the processor
    #[arg(long, value_name = "RUNS", default_value_t = 2)]
    warm_up: usize,
    /// Members of the worker group
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Processes that they are in
    #[arg(long, default_value_t = 1)]
    processes: usize,
    /// `filesys up` alone, with its own parts, instead of `serve` and `worker` on Kafka
    #[arg(long)]
    up: bool,
    /// Partitions of each topic
    #[arg(long, default_value_t = 3)]
    partitions: usize,
    /// Files that each member makes at once: few, since all that takes part shares this machine (docs/OPERATIONS.md, Scale);
    /// unless told otherwise `filesys worker` makes 16
    #[arg(long, default_value_t = 4)]
    concurrency: usize,
    /// Artificial processing time of each file
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// Characters of each description
    #[arg(long, value_name = "N", default_value_t = 100)]
    description: usize,
    /// The bench's own S3 server keeps objects in memory, so that it is the others that are measured and not its disk
    #[arg(long, conflicts_with = "up")]
    s3_in_memory: bool,
    /// Instead, how long it takes to look at files, and to ask for one, when there are so many already
    #[arg(long, value_name = "ROWS", value_delimiter = ',', conflicts_with_all = ["up", "idle"])]
    rows: Vec<usize>,
    /// Instead, what so many clients cost that ask for the list every two seconds while a file is made each second
    #[arg(long, value_name = "CLIENTS", conflicts_with_all = ["up", "idle", "rows"])]
    pollers: Option<usize>,
    /// Instead, what memory the roles take when so many files wait, and while they are made
    #[arg(long, value_name = "FILES", conflicts_with_all = ["up", "idle", "rows", "pollers"])]
    backlog: Option<usize>,
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
    /// Argument that cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Outcome<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> Outcome<()> {
    if let Some(dir) = &args.s3_server {
        let durability = if args.s3_in_memory { Durability::Fast } else { Durability::Full };
        return store::serve(dir, durability).await;
    }
    let stage = Stage::build(args.executable.clone(), args.up, args.s3_in_memory).await?;
    let measured = measure(&args, &stage).await;
    stage.tear_down().await;
    let (table, json) = measured?;
    std::io::stdout().write_all(table.as_bytes())?;
    if let Some(file) = &args.json {
        std::fs::write(file, json)?;
    }
    Ok(())
}

/// Measures what the arguments ask for: a table, and the same as JSON.
async fn measure(args: &Args, stage: &Stage) -> Outcome<(String, String)> {
    let figures = if !args.rows.is_empty() {
        reads::measure(stage, &args.rows, &args.settings()).await?
    } else if let Some(clients) = args.pollers {
        pollers::measure(stage, args.workers(), clients, &args.settings()).await?
    } else if let Some(files) = args.backlog {
        backlog::measure(stage, args, files).await?
    } else {
        let mut report = Report::new(args);
        for number in 1..=args.warm_up {
            eprintln!("warm-up {number} of {}", args.warm_up);
            run_once(args, stage).await?;
        }
        for number in 1..=args.repeat {
            eprintln!("run {number} of {}", args.repeat);
            report.runs.push(run_once(args, stage).await?);
        }
        if args.ceilings {
            report.ceilings = Some(ceilings::measure(stage, args.connections, args.description).await?);
        }
        return Ok((report.table(), serde_json::to_string_pretty(&report)?));
    };
    Ok((figures.table(), serde_json::to_string_pretty(&figures)?))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Args {
    const fn workers(&self) -> Workers {
        Workers { members: self.workers, processes: self.processes }
    }

    fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("PROCESSING_DELAY_MS", self.delay.to_string()),
            ("RUST_LOG", self.log.clone()),
            ("KAFKA_PARTITIONS", self.partitions.to_string()),
            ("WORKER_CONCURRENCY", self.concurrency.to_string()),
        ]
    }
}

async fn run_once(args: &Args, stage: &Stage) -> Outcome<Run> {
    let roles = stage.start(args.workers(), &args.settings()).await?;
    let description = "x".repeat(args.description);
    let made = warm_up(args, &roles, &description).await?;
    let before = roles.usage();
    let posted = match args.idle {
        Some(files) => drive::one_by_one(&roles, files, &description).await?,
        None => drive::load(&roles.address, args.files, args.connections, &description).await?,
    };
    let files = posted.posts.len();
    let finished = drive::wait_until_completed(&roles, made + files, Duration::from_mins(10)).await?;
    let after = roles.usage();
    let end = roles.end_state(made).await?;
    stage.end(roles).await?;
    let run = Run::new(posted, finished, after.since(&before), end);
    run.check(made + files)?;
    Ok(run)
}

/// Loads the roles until every member that can have a partition makes files: preparing statements and assigning partitions
/// happens once and is not measured. Returns the number of files made meanwhile.
async fn warm_up(args: &Args, roles: &Roles, description: &str) -> Outcome<usize> {
    const BATCH: usize = 500;
    const BATCHES: usize = 40;
    for batch in 1..=BATCHES {
        drive::load(&roles.address, BATCH, args.connections.min(32), description).await?;
        drive::wait_until_completed(roles, batch * BATCH, Duration::from_mins(5)).await?;
        if roles.makers((batch - 1) * BATCH).await? == args.workers.min(args.partitions) {
            return Ok(batch * BATCH);
        }
    }
    Err("not all members of the worker group get to work".into())
}
