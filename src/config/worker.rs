//! Settings of a worker: members, concurrency, tries.

use std::time::Duration;

use super::Env;

/// Settings of a worker.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Members of the consumer group in this process.
    pub replicas: usize,
    /// Files that one member works on at once.
    pub concurrency: usize,
    /// Tries of one attempt before it fails for good.
    pub max_attempts: u32,
    /// Artificial processing time, as in the source system.
    pub processing_delay: Duration,
}

/// Default time after its creation at which a file that is not completed is failed.
pub const FILE_DEADLINE_DEFAULT: Duration = Duration::from_hours(24);

impl WorkerConfig {
    /// Reads the settings.
    pub fn read(env: &mut Env, replicas: Option<usize>, default_replicas: usize) -> Self {
        let from_env = env.number(&["WORKER_REPLICAS"], default_replicas, 1..=64);
        Self {
            replicas: replicas.unwrap_or(from_env),
            concurrency: env.number(&["WORKER_CONCURRENCY"], 16, 1..=1024),
            max_attempts: env.number(&["WORKER_MAX_ATTEMPTS"], 5, 1..=100),
            processing_delay: env.duration("PROCESSING_DELAY_MS", Duration::ZERO, Duration::from_millis(1)),
        }
    }
}

/// Reads the time after its creation at which a file that is not completed is failed.
pub fn read_file_deadline(env: &mut Env) -> Duration {
    env.duration("FILE_DEADLINE", FILE_DEADLINE_DEFAULT, Duration::from_secs(1))
}

/// Name of the variable with the health socket's name.
pub const HEALTH_SOCKET: &str = "WORKER_HEALTH_SOCKET";

/// Reads the name of the abstract Unix socket on which a worker reports its health.
pub fn read_health_socket(env: &mut Env) -> Option<String> {
    let name = env.text(&[HEALTH_SOCKET])?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() > 100 || !name.chars().all(allowed) {
        env.problem(format!("{HEALTH_SOCKET} must be at most 100 of a-z, A-Z, 0-9, '.', '_' and '-'"));
    }
    Some(name)
}
