//! The HTTP server: one port, every route, limits, an orderly end.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{Data, PayloadConfig};
use actix_web::{App, HttpServer};

use super::extract::BODY_LIMIT;
use super::{AppState, middleware, routes};
use crate::config::HttpConfig;

/// Limits of a connection.
mod limits {
    use std::time::Duration;

    /// For the headers of a request to arrive.
    pub(super) const HEADERS: Duration = Duration::from_secs(10);
    pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(75);
    pub(super) const DISCONNECT: Duration = Duration::from_secs(5);
    pub(super) const CONNECTIONS: usize = 10_000;
    pub(super) const BACKLOG: u32 = 2048;
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Binds at once; serves when the returned future is polled. Signals are the caller's business.
pub fn bind(config: &HttpConfig, state: AppState) -> Result<(Server, SocketAddr), BindError> {
    let wanted = SocketAddr::new(config.host, config.port);
    let failed = |source| BindError { address: wanted, source };
    let listener = TcpListener::bind(wanted).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let state = Data::new(state);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&state))
            .app_data(PayloadConfig::new(BODY_LIMIT))
            .configure(routes::configure)
            .wrap(from_fn(middleware::guard))
            .wrap(Compress::default())
            .wrap(from_fn(middleware::around))
    })
    .client_request_timeout(limits::HEADERS)
    .client_disconnect_timeout(limits::DISCONNECT)
    .keep_alive(limits::KEEP_ALIVE)
    .max_connections(limits::CONNECTIONS)
    .backlog(limits::BACKLOG)
    .shutdown_timeout(whole_seconds(config.shutdown_timeout))
    .disable_signals()
    .listen(listener)
    .map_err(failed)?
    .run();
    Ok((server, address))
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}
