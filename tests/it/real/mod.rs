//! The roles as separate processes on real services, where one is named.

mod brokers;
mod clocks;
mod cluster;
mod failover;
mod groups;
mod interop;
mod kafka;
mod outages;
mod peer;
mod postgres;
mod run;
mod site;
mod stops;
mod storms;
mod tls;
mod zombies;
