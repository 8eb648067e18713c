//! Environment of a run: its own services, proxies in front of them, and the roles as processes.

pub mod roles;
pub mod services;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub use roles::{Role, Roles};
pub use services::Services;

use crate::evidence::Evidence;
use crate::verify::Violation;

/// Executable of this build, without planted bugs.
pub const THIS_BUILD: &str = env!("CARGO_BIN_EXE_filesys");
/// A role ends when it is asked to, with exit code 0, and not otherwise.
pub const ENDS: &str = "ends-when-asked";

/// Everything of one run. Dropping it ends roles and services; the folder stays.
pub struct Stage {
    /// Declared before the services, so that the roles are dropped first.
    pub roles: Roles,
    pub services: Services,
    pub folder: PathBuf,
    pub log_lost: bool,
    pub crash_every: usize,
    /// The newest build.
    program: PathBuf,
    began: Instant,
    complaints: Mutex<Vec<Violation>>,
}

/// Options that the roles are started with.
#[derive(Debug, Clone)]
pub struct Setup {
    pub seed: u64,
    pub serves: usize,
    pub workers: usize,
    /// A role ends at some step after about so many requests; 0: none does.
    pub crash_every: usize,
    /// More settings of every role.
    pub settings: Vec<(String, String)>,
    /// `filesys` of another build, should it be another.
    pub program: PathBuf,
}

impl Setup {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            serves: 2,
            workers: 3,
            crash_every: 0,
            settings: Vec::new(),
            program: PathBuf::from(THIS_BUILD),
        }
    }
}

impl Stage {
    /// Migrates and starts the roles; every serve is ready when this returns.
    pub async fn set(setup: Setup, services: Services, folder: &Path) -> Self {
        let roles = Roles::start(&setup, &services, folder).await;
        let (folder, complaints) = (folder.to_owned(), Mutex::default());
        let (program, crash_every) = (PathBuf::from(THIS_BUILD), setup.crash_every);
        Self {
            roles,
            services,
            folder,
            log_lost: false,
            crash_every,
            program,
            began: Instant::now(),
            complaints,
        }
    }

    /// Returns the evidence, by addresses that the proxies are not in the way of.
    pub fn evidence(&self) -> Evidence {
        let services = &self.services;
        Evidence {
            journal: self.journal(),
            database_url: services.ground.database_url.clone(),
            kafka: services.kafka_direct.clone(),
            kafka_prefix: services.ground.prefix.clone(),
            worker_group: "file-service-group".to_owned(),
            serve_group: "api-service-group".to_owned(),
            s3: services.s3_direct(),
            s3_access_key: services.direct.access_key.clone(),
            s3_secret_key: services.direct.secret_key.clone(),
            bucket: services.ground.bucket.clone(),
            log_lost: self.log_lost,
        }
    }

    /// Runs a subcommand; `Err` has its output if it fails.
    pub async fn run_to_its_end(&self, args: &[&str], limit: Duration) -> Result<(), String> {
        let run = tokio::process::Command::new(&self.program)
            .args(args)
            .env_clear()
            .envs(self.services.settings())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(limit, run).await;
        let output = output
            .map_err(|_| format!("{args:?} does not end within {limit:?}"))?
            .map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(format!("{args:?}: {output:?}")) }
    }

    /// Ends the roles and returns the services, which keep running.
    pub fn leave(self) -> Services {
        self.services
    }

    /// Prints what happens, with the time since everything was ready.
    pub fn log(&self, what: &str) {
        println!("  {:>6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    pub fn complain(&self, check: &'static str, details: Vec<String>) {
        let complaints = details.into_iter().map(|detail| Violation { invariant: "I10", check, detail });
        self.complaints.lock().expect("no holder panics").extend(complaints);
    }

    /// Misbehaviour of roles, including those that have ended.
    pub fn complaints(&self) -> Vec<Violation> {
        self.complain(ENDS, self.roles.all().flat_map(Role::complaints).collect());
        std::mem::take(&mut *self.complaints.lock().expect("no holder panics"))
    }

    pub fn journal(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }
}
