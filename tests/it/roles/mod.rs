//! Processes of each role: how they stop, die and start again, outages of the services below them, wrong clocks.

mod clocks;
mod outages;
mod restarts;
pub mod site;
mod stops;
mod uploads;
