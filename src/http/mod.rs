//! The door for requests: JSON API and pages on one port. It only translates, then calls a verb.

mod api;
mod budget;
mod connection;
pub mod error;
mod etag;
mod extract;
mod forwarded;
mod links;
mod lists;
mod middleware;
mod negotiation;
pub mod outer;
mod preconditions;
mod routes;
pub mod server;
mod state;
mod tally;
pub mod ui;

pub use state::AppState;
