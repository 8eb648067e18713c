//! Entry point for HTTP requests: JSON API and pages on one port. Handlers translate requests and call use cases.

mod api;
mod client_errors;
mod connection;
pub mod error;
mod etag;
mod extract;
mod forwarded;
mod json_cache;
mod json_response;
mod memory_budget;
mod middleware;
mod negotiation;
pub mod outer;
mod preconditions;
mod problem;
mod routes;
pub mod server;
mod state;
pub mod ui;
mod validators;

pub use state::AppState;
