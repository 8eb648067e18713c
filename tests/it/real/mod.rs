//! The roles as separate processes on real services, where one is named.

mod clocks;
mod groups;
mod interop;
mod kafka;
mod outages;
mod peer;
mod run;
mod tls;
