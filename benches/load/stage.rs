//! Starts the roles of each run, on a database, topics and a bucket of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Outcome;
use super::launch::{self, word_after};
use super::roles::Roles;
use super::services::{Services, connect};
use super::store::{bucket, of_up};

/// Number of members of the worker group, and of the processes that they run in.
#[derive(Debug, Clone, Copy)]
pub struct Workers {
    pub members: usize,
    pub processes: usize,
}

impl Workers {
    pub const NONE: Self = Self { members: 0, processes: 1 };
}

/// Services and executable of a bench.
pub struct Stage {
    executable: PathBuf,
    folder: TempDir,
    /// `None` for `filesys up`, which brings its own.
    services: Option<Services>,
}

impl Stage {
    /// Starts the services. PostgreSQL always syncs its commits to disk.
    pub async fn build(executable: PathBuf, up: bool, s3_in_memory: bool) -> Outcome<Self> {
        use std::os::unix::fs::PermissionsExt;
        // PostgreSQL refuses to run as root, so another user has to reach the folder.
        let enterable = std::fs::Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().prefix("filesys-bench-").permissions(enterable).tempdir()?;
        let services = if up { None } else { Some(Services::start(folder.path(), s3_in_memory).await?) };
        Ok(Self { executable, folder, services })
    }

    pub fn services(&self) -> Option<&Services> {
        self.services.as_ref()
    }

    /// Stops the roles and drops their database and topics.
    pub async fn end(&self, mut roles: Roles) -> Outcome<()> {
        roles.end(0).await?;
        match &self.services {
            Some(services) => services.drop_all(&roles.name).await,
            None => Ok(()),
        }
    }

    /// Starts the roles on an empty database; they answer requests when this returns. Without workers only `serve` runs.
    pub async fn start(&self, workers: Workers, settings: &[(&'static str, String)]) -> Outcome<Roles> {
        let name = format!("bench{}", uuid::Uuid::new_v4().simple());
        match &self.services {
            Some(services) => self.start_roles(services, &name, workers, settings).await,
            None => self.start_up(&self.folder.path().join(&name), workers.members, settings).await,
        }
    }

    async fn start_roles(
        &self,
        services: &Services,
        name: &str,
        workers: Workers,
        settings: &[(&'static str, String)],
    ) -> Outcome<Roles> {
        let folder = self.folder.path();
        services.create_database(name).await?;
        let database = services.database(name);
        let mut env: Vec<(&'static str, String)> = vec![
            ("DATABASE_URL", database.to_string()),
            ("KAFKA_BROKERS", services.kafka.clone()),
            ("KAFKA_PREFIX", format!("{name}.")),
            ("S3_ENDPOINT", services.s3.endpoint.clone()),
            ("S3_BUCKET", name.to_owned()),
            ("PORT", "0".to_owned()),
        ];
        env.extend(services.s3.credentials());
        env.extend(settings.iter().cloned());
        let migrated =
            self.role(&["migrate"], &env, &folder.join(format!("{name}-migrate.log")))?.wait().await?;
        if !migrated.success() {
            return Err(format!("filesys migrate: {migrated}").into());
        }
        let log = folder.join(format!("{name}-serve.log"));
        let serve = self.role(&["serve"], &env, &log)?;
        let address = word_after(&log, "listening address=").await?;
        let mut roles = Roles {
            name: name.to_owned(),
            address,
            database: connect(&database).await?,
            url: database,
            bucket: bucket(&services.s3, name)?,
            env,
            watched: Vec::new(),
            processes: vec![serve],
        };
        roles.watch("serve", roles.processes[0].id());
        self.start_workers(&mut roles, workers)?;
        roles.watch("bench", Some(std::process::id()));
        roles.watch("s3", services.s3_process.as_ref().and_then(Child::id));
        if services.postgres.is_some() {
            let pid = std::fs::read_to_string(folder.join("postgres/postmaster.pid"))?;
            roles.watch("postgresql", pid.lines().next().and_then(|pid| pid.parse().ok()));
        }
        if services.kafka_script.is_some() {
            let pid = std::fs::read_to_string(folder.join("kafka/pid"))?;
            roles.watch("kafka", pid.trim().parse().ok());
        }
        Ok(roles)
    }

    /// Starts workers, the members spread evenly over the processes.
    pub fn start_workers(&self, roles: &mut Roles, Workers { members, processes }: Workers) -> Outcome<()> {
        for number in 0..processes.min(members) {
            let replicas = (members - number).div_ceil(processes).to_string();
            let log = self.folder.path().join(format!("worker-{}.log", uuid::Uuid::new_v4()));
            let worker = self.role(&["worker", "--replicas", &replicas], &roles.env, &log)?;
            roles.watch(["worker", "worker 2", "worker 3"][number.min(2)], worker.id());
            roles.processes.push(worker);
        }
        Ok(())
    }

    async fn start_up(
        &self,
        data_dir: &Path,
        workers: usize,
        settings: &[(&'static str, String)],
    ) -> Outcome<Roles> {
        let (dir, workers) = (data_dir.to_string_lossy().into_owned(), workers.to_string());
        let mut env = vec![("PORT", "0".to_owned())];
        env.extend(settings.iter().cloned());
        let log = data_dir.with_extension("log");
        let up = self.role(&["up", "--data-dir", &dir, "--replicas", &workers], &env, &log)?;
        let address = word_after(&log, "listening address=").await?;
        let read = |name: &str| std::fs::read_to_string(data_dir.join(name));
        // host:port:database:user:password
        let pass = read("postgres.pgpass")?;
        let password = pass.trim().rsplit(':').next().unwrap_or_default();
        let port = read("postgres.port")?;
        let url = format!("postgresql://filesys:{password}@127.0.0.1:{}/filesys", port.trim());
        let s3 = of_up(data_dir)?;
        let url = url.parse()?;
        let mut roles = Roles {
            name: String::new(),
            address,
            database: connect(&url).await?,
            url,
            bucket: bucket(&s3, "file-storage-bucket")?,
            env,
            watched: Vec::new(),
            processes: vec![up],
        };
        roles.watch("up, with its PostgreSQL", roles.processes[0].id());
        roles.watch("bench", Some(std::process::id()));
        Ok(roles)
    }

    fn role(&self, args: &[&str], env: &[(&str, String)], log: &Path) -> Outcome<Child> {
        launch::process(&self.executable, args, env, log)
    }

    pub async fn tear_down(self) {
        let Some(services) = self.services else { return };
        if let Some(script) = services.kafka_script {
            let mut stop = Command::new(script);
            stop.args(["stop", "--wipe"]).env("FILESYS_SERVICES_DIR", self.folder.path());
            let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        }
        if let Some(postgres) = services.postgres {
            let _ = postgres.stop().await;
        }
    }
}
