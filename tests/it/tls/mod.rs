//! Encrypted and authenticated connections, to servers with certificates that the test makes.

mod kafka;
#[cfg(feature = "kafka-tls")]
mod kafka_tls;
mod postgres;
#[cfg(feature = "kafka-tls")]
mod roles;
mod s3;
mod settings;
