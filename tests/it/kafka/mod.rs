//! The roles as separate processes on Apache Kafka: groups, rebalances, brokers that fail, clients of other make.

mod brokers;
pub mod cluster;
mod groups;
mod interop;
mod paused_members;
mod peer;
mod processes;
mod rebalances;
pub mod run;
