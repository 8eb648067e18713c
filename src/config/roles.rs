//! Settings that each role reads from the environment.

use std::time::Duration;

use super::worker::{read_file_deadline, read_health_socket};
use super::{
    DatabaseConfig, EmbeddedConfig, Env, EventsConfig, HttpConfig, KafkaConfig, RetentionConfig, S3Config,
    TelemetryConfig, UploadConfig, WorkerConfig, http,
};

/// Default Kafka client id of `serve`.
pub const SERVE_CLIENT_ID: &str = "api-service";
/// Default consumer group of `serve`.
pub const SERVE_GROUP_ID: &str = "api-service-group";
/// Default Kafka client id of workers.
pub const WORKER_CLIENT_ID: &str = "file-service";
/// Default consumer group of workers.
pub const WORKER_GROUP_ID: &str = "file-service-group";

/// Returns the name of the group in which serve reads dead letters: `api-service-dead-letters`, unless its own group
/// has another name. A group of its own, because members of one group that follow different topics would wait for each
/// other in rebalances.
pub fn dead_letters_group(serve_group: &str) -> String {
    format!("{}-dead-letters", serve_group.strip_suffix("-group").unwrap_or(serve_group))
}

/// Role that a process is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Serve,
    Worker,
    Migrate,
    Up,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Serve, Self::Worker, Self::Migrate, Self::Up];

    /// Returns the name of the subcommand.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Worker => "worker",
            Self::Migrate => "migrate",
            Self::Up => "up",
        }
    }

    /// Reads all settings of the role and drops them, so that `env` has the variables that were read and their
    /// problems.
    pub fn check(self, env: &mut Env) {
        TelemetryConfig::read(env);
        match self {
            Self::Serve => drop(ServeSettings::read(env)),
            Self::Worker => drop(WorkerSettings::read(env, None)),
            Self::Migrate => drop(MigrateSettings::read(env)),
            Self::Up => drop(UpSettings::read(env, None)),
        }
    }
}

/// Settings of `serve`.
pub struct ServeSettings {
    pub http: HttpConfig,
    pub database: DatabaseConfig,
    pub kafka: KafkaConfig,
    pub client_id: String,
    pub group_id: String,
    /// Group of the workers.
    pub worker_group_id: String,
    pub s3: S3Config,
    pub file_deadline: Duration,
    pub retention: RetentionConfig,
    pub uploads: UploadConfig,
}

impl ServeSettings {
    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        Self {
            http: HttpConfig::read(env),
            database: DatabaseConfig::read(env),
            kafka: KafkaConfig::read(env),
            client_id: KafkaConfig::read_client_id(env, SERVE_CLIENT_ID),
            group_id: KafkaConfig::read_group_id(env, SERVE_GROUP_ID),
            worker_group_id: env.text_or(&["KAFKA_WORKER_GROUP_ID"], WORKER_GROUP_ID),
            s3: S3Config::read(env),
            file_deadline: read_file_deadline(env),
            retention: RetentionConfig::read(env),
            uploads: UploadConfig::read(env),
        }
    }
}

/// Settings of `worker`.
pub struct WorkerSettings {
    pub kafka: KafkaConfig,
    pub client_id: String,
    pub group_id: String,
    pub s3: S3Config,
    pub work: WorkerConfig,
    /// Name of the abstract Unix socket on which the worker reports its health, if it does.
    pub health_socket: Option<String>,
    pub shutdown_timeout: Duration,
}

impl WorkerSettings {
    /// Reads the settings; `replicas` overrides the environment's.
    pub fn read(env: &mut Env, replicas: Option<usize>) -> Self {
        Self {
            kafka: KafkaConfig::read(env),
            client_id: KafkaConfig::read_client_id(env, WORKER_CLIENT_ID),
            group_id: KafkaConfig::read_group_id(env, WORKER_GROUP_ID),
            s3: S3Config::read(env),
            work: WorkerConfig::read(env, replicas, 1),
            health_socket: read_health_socket(env),
            shutdown_timeout: http::read_shutdown_timeout(env),
        }
    }
}

/// Settings of `migrate`.
pub struct MigrateSettings {
    pub database: DatabaseConfig,
    pub kafka: KafkaConfig,
    pub s3: S3Config,
}

impl MigrateSettings {
    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        Self { database: DatabaseConfig::read(env), kafka: KafkaConfig::read(env), s3: S3Config::read(env) }
    }
}

/// Settings of `filesys dead-letters`, which is a tool and no role.
pub struct DeadLettersSettings {
    pub database: DatabaseConfig,
    pub events: EventsConfig,
    pub file_deadline: Duration,
}

impl DeadLettersSettings {
    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        Self {
            database: DatabaseConfig::read(env),
            events: EventsConfig::read(env),
            file_deadline: read_file_deadline(env),
        }
    }
}

/// Settings of `up`. Services that are `None` are not named in the environment, so `up` runs them itself.
pub struct UpSettings {
    pub http: HttpConfig,
    pub database: Option<DatabaseConfig>,
    pub kafka: Option<UpKafka>,
    pub s3: Option<S3Config>,
    pub bucket: String,
    pub s3_public_endpoint: Option<String>,
    pub work: WorkerConfig,
    pub file_deadline: Duration,
    pub retention: RetentionConfig,
    pub uploads: UploadConfig,
    pub embedded: EmbeddedConfig,
}

/// Kafka cluster that `up` uses, and its name there.
pub struct UpKafka {
    pub cluster: KafkaConfig,
    pub client_id: String,
}

impl UpSettings {
    /// Reads the settings; `replicas` overrides the environment's.
    pub fn read(env: &mut Env, replicas: Option<usize>) -> Self {
        let kafka = KafkaConfig::is_named(env).then(|| UpKafka {
            cluster: KafkaConfig::read(env),
            client_id: KafkaConfig::read_client_id(env, "filesys"),
        });
        if kafka.is_some() && env.is_set(&["KAFKA_GROUP_ID"]) {
            env.problem("KAFKA_GROUP_ID can't be used with up, which joins two groups");
        }
        Self {
            http: HttpConfig::read(env),
            database: DatabaseConfig::is_named(env).then(|| DatabaseConfig::read(env)),
            kafka,
            s3: S3Config::is_named(env).then(|| S3Config::read(env)),
            bucket: S3Config::read_bucket(env),
            s3_public_endpoint: S3Config::read_public_endpoint(env),
            work: WorkerConfig::read(env, replicas, 2),
            file_deadline: read_file_deadline(env),
            retention: RetentionConfig::read(env),
            uploads: UploadConfig::read(env),
            embedded: EmbeddedConfig::read(env),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_dead_letters_goes_by_the_name_of_serves_group() {
        assert_eq!(dead_letters_group(SERVE_GROUP_ID), "api-service-dead-letters");
        assert_eq!(dead_letters_group("mine"), "mine-dead-letters");
    }
}
