//! The chaos tests: load, faults, and a verifier that shares no query with the product (`just chaos`).
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod brokers;
mod evidence;
mod faults;
mod latency;
mod load;
mod mixed;
mod planted;
mod proxy;
mod report;
mod special;
mod stage;
mod verify;

#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "what the other tests need besides")]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;

use faults::Kind;
use mixed::Options;
use planted::Bug;
use special::{Service, Special};
use stage::{Services, Setup};

/// Breaks everything around filesys while clients ask for files, then compares what they saw with what is there.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch")]
struct Args {
    /// Ends after so many files that clients ask for
    #[arg(long)]
    requests: Option<u64>,
    /// Clients at once
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// New requests per second; 0: as fast as they are answered
    #[arg(long, default_value_t = 25)]
    rate: u32,
    /// Ends after so much time. Without it and --requests every kind of fault has its turn once
    #[arg(long)]
    seconds: Option<u64>,
    /// Repeats the order of faults, requests and crashes of another run
    #[arg(long)]
    seed: Option<u64>,
    /// Kinds of fault, with commas; all without it
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    faults: Option<Vec<Kind>>,
    /// A role dies at some step after about so many requests; 0: none does
    #[arg(long, default_value_t = 400)]
    crash_every: usize,
    /// Plant this bug
    #[arg(long, value_parser = plant)]
    plant: Option<Bug>,
    /// See each planted bug caught, or the one of --plant
    #[arg(long)]
    planted: bool,
    /// See the verifier report everything that is broken by hand after a clean run
    #[arg(long)]
    self_test: bool,
    /// With --planted: see that the same runs without the bugs are clean
    #[arg(long, requires = "planted")]
    controls: bool,
    /// This service is away in the middle of a steady load, for --for
    #[arg(long, value_enum)]
    without: Option<Service>,
    /// Seconds
    #[arg(long = "for", default_value_t = 300)]
    away: u64,
    /// Kafka loses its log in the middle of a steady load
    #[arg(long)]
    wipe_kafka: bool,
    /// A cluster of three brokers under a steady load: each is lost, restarted, and given other work
    #[arg(long)]
    brokers: bool,
    /// Upgrades from this executable under a steady load, and back
    #[arg(long)]
    previous: Option<PathBuf>,
    /// The report, for programs
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keep the run's folder even when all is well
    #[arg(long)]
    keep: bool,
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::named(name).ok_or_else(|| format!("one of {}", Kind::ALL.map(Kind::name).join(", ")))
}

fn plant(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.into_iter().find(|bug| bug.name() == name);
    found.ok_or_else(|| format!("one of {}", Bug::ALL.map(Bug::name).join(", ")))
}

/// Runs the tests so that services and roles have an end when a person interrupts.
#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    tokio::select! {
        code = run(args) => code,
        _ = tokio::signal::ctrl_c() => ExitCode::from(130),
    }
}

async fn run(args: Args) -> ExitCode {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = args.seed.unwrap_or(now.as_secs() % 1_000_000);
    let folder = tempfile::Builder::new().prefix("filesys-chaos-").tempdir().unwrap().keep();
    println!("chaos with seed {seed} in {}", folder.display());
    let good = if args.planted {
        let bugs = args.plant.map_or(Bug::ALL.to_vec(), |bug| vec![bug]);
        planted::run(seed, &bugs, args.controls, &folder).await
    } else if args.self_test {
        planted::self_test(seed, &folder).await
    } else {
        let options = options(&args, seed).await;
        let report = match args.special() {
            _ if args.brokers => brokers::run(&options, &folder).await,
            Some(special) => special::run(&special, &options, &folder).await,
            None => mixed::run(&options, Services::start(&folder).await, &folder).await.0,
        };
        println!("{report}");
        report.write(&folder.join("report.json"));
        args.json.iter().for_each(|file| report.write(file));
        report.is_clean()
    };
    if good && !args.keep {
        std::fs::remove_dir_all(&folder).unwrap();
    } else {
        println!("everything is in {}; the seed is {seed}", folder.display());
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Args {
    fn special(&self) -> Option<Special> {
        if let Some(service) = self.without {
            return Some(Special::Without(service, Duration::from_secs(self.away)));
        }
        if self.wipe_kafka {
            return Some(Special::WipeKafka);
        }
        self.previous.clone().map(Special::Previous)
    }
}

async fn options(args: &Args, seed: u64) -> Options {
    let mut setup = Setup::new(seed);
    setup.crash_every = args.crash_every;
    if let Some(bug) = args.plant {
        setup.program = planted::build().await;
        setup.settings.push(planted::setting(bug));
    }
    Options {
        setup,
        requests: args.requests.unwrap_or(u64::MAX),
        concurrency: args.concurrency,
        rate: Some(args.rate).filter(|rate| *rate > 0),
        seconds: args.seconds,
        rounds: (args.requests.is_none() && args.seconds.is_none()).then_some(1),
        kinds: args.faults.clone().unwrap_or_else(|| Kind::ALL.to_vec()),
        // A hundred a second at least, should all of them be left at the end.
        drain_limit: Duration::from_secs(120 + args.requests.unwrap_or_default() / 100),
    }
}
