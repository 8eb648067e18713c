//! Settings: read once from the environment, validated as a whole, passed down. Nothing else reads the environment.

pub mod client;
pub mod database;
pub mod database_url;
pub mod effective;
pub mod embedded;
pub mod encryption;
pub mod env;
pub mod events;
#[cfg(feature = "chaos")]
pub mod faults;
pub mod http;
pub mod kafka;
pub mod kafka_security;
pub mod outer;
pub mod proxy;
pub mod reference;
pub mod retention;
pub mod roles;
pub mod s3;
pub mod telemetry;
pub mod tls;
pub mod uploads;
pub mod variable;
pub mod worker;

pub use client::ClientConfig;
pub use database::DatabaseConfig;
pub use database_url::DatabaseTarget;
pub use embedded::EmbeddedConfig;
pub use env::{ConfigError, Env};
pub use events::EventsConfig;
pub use http::HttpConfig;
pub use kafka::KafkaConfig;
pub use outer::OuterConfig;
pub use retention::RetentionConfig;
pub use roles::{DeadLettersSettings, MigrateSettings, Role, ServeSettings, UpSettings, WorkerSettings};
pub use s3::S3Config;
pub use telemetry::{LogFormat, TelemetryConfig};
pub use uploads::UploadConfig;
pub use worker::WorkerConfig;
