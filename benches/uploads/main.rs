//! `just bench-uploads`: uploads compared with a plain client of the same S3 server, and with tusd.

mod client;
mod concurrent;
mod content;
#[path = "../shared/figures.rs"]
mod figures;
mod forms;
#[path = "../shared/launch.rs"]
mod launch;
mod measure;
mod plain;
#[path = "../shared/processes.rs"]
mod processes;
mod resumable;
mod single;
mod small;
mod stage;
#[path = "../shared/store.rs"]
mod store;
mod tus;

use std::io::Write;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use filesys::embedded::Durability;

use self::figures::Figures;
use self::stage::Stage;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Path of the tus endpoint; tusd is started with the same.
const ENDPOINT: &str = "/uploads";

/// Uploads files to a `filesys up`, built as it is shipped, on a PostgreSQL and an S3 server of the bench, and compares throughput,
/// CPU time and memory with a plain client of the same S3 server, and with tusd. `S3_ENDPOINT` names another S3 server.
#[derive(Debug, Parser)]
struct Args {
    /// MiB of a large file
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    size: usize,
    /// Large files at once
    #[arg(long, value_name = "FILES", default_value_t = 16)]
    at_once: usize,
    /// Small files sent by tus
    #[arg(long, value_name = "FILES", default_value_t = 500)]
    small_files: usize,
    /// KiB of each of them
    #[arg(long, value_name = "KIB", default_value_t = 1024)]
    small_size: usize,
    /// Connections that send them
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Seconds in which files of 10 KiB are sent
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Times that what is compared is measured, in turn; medians are reported
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Parts to measure; all unless told otherwise
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Executable of tusd, to compare with
    #[arg(long, value_name = "FILE", conflicts_with = "up")]
    tusd: Option<PathBuf>,
    /// `filesys up` with its own PostgreSQL and S3 server in its process
    #[arg(long)]
    up: bool,
    /// The bench's own S3 server keeps objects in memory, so that its disk isn't measured
    #[arg(long, conflicts_with = "up")]
    s3_in_memory: bool,
    /// Another build of filesys, to compare this one with
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_filesys"))]
    executable: PathBuf,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A large file in one request
    Single,
    /// Many large files at once
    Concurrent,
    /// The tus protocol
    Tus,
    /// Files of 10 KiB
    Small,
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
    let stage = Stage::build(&args).await?;
    let measured = measure_parts(&stage, &args).await;
    stage.tear_down().await;
    let tables = measured?;
    let servers = if args.up { "filesys up alone" } else { "filesys up on PostgreSQL and S3" };
    let disk = if args.s3_in_memory { "; S3 in memory" } else { "" };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut out = std::io::stdout();
    writeln!(out, "uploads: {servers}{disk}; {cores} cores")?;
    for figures in &tables {
        writeln!(out, "\n{}", figures.table().trim_end())?;
    }
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&tables)?)?;
    }
    Ok(())
}

async fn measure_parts(stage: &Stage, args: &Args) -> Outcome<Vec<Figures>> {
    let mut tables = Vec::new();
    for part in Part::value_variants() {
        if !args.only.is_empty() && !args.only.contains(part) {
            continue;
        }
        eprintln!("measuring: {part:?}");
        tables.extend(match part {
            Part::Single => single::measure(stage, args).await?,
            Part::Concurrent => concurrent::measure(stage, args).await?,
            Part::Tus => resumable::measure(stage, args).await?,
            Part::Small => small::measure(stage, args).await?,
        });
    }
    Ok(tables)
}
