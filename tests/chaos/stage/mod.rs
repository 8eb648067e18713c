//! What a run plays on: services of its own, proxies in front of them, and the roles as processes.

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

const THIS_BUILD: &str = env!("CARGO_BIN_EXE_filesys");
/// A role ends when it is asked to, with exit code 0, and not otherwise.
pub const ENDS: &str = "ends-when-asked";

/// Everything of one run. Dropping it ends it; the folder stays until it is removed.
pub struct Stage {
    /// Before the services: the roles go first.
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

/// What the roles are started with.
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
    /// Schema, topics and bucket are there, and every serve is ready, when this returns.
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

    /// What it said, should it not succeed.
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

    /// The roles end, the services go on.
    pub fn leave(self) -> Services {
        self.services
    }

    /// What happens, with the time since everything was ready.
    pub fn say(&self, what: &str) {
        println!("  {:>6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    pub fn complain(&self, check: &'static str, details: Vec<String>) {
        let complaints = details.into_iter().map(|detail| Violation { invariant: "I10", check, detail });
        self.complaints.lock().expect("nobody panics while holding it").extend(complaints);
    }

    /// What roles did that they must not do, those included that are gone.
    pub fn complaints(&self) -> Vec<Violation> {
        self.complain(ENDS, self.roles.all().flat_map(Role::complaints).collect());
        std::mem::take(&mut *self.complaints.lock().expect("nobody panics while holding it"))
    }

    pub fn journal(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }
}
