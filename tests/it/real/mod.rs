//! The roles as separate processes on real services, where one is named.

mod groups;
mod kafka;
mod outages;
