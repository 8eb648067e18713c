//! The HTTP server: one port, every route, limits, an orderly end.

use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::time::Duration;

use actix_http::{HttpServiceBuilder, Protocol};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::{Compress, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{App, Error};

use super::connection::{Connection, HEAD_TIME, KEEP_ALIVE, LINGER};
use super::{AppState, middleware, routes};
use crate::config::HttpConfig;

/// Clients at once, where there are descriptors for as many; more of them wait to be accepted.
const CONNECTIONS: usize = 10_000;
/// Descriptors that are left for everything else: PostgreSQL, S3, Kafka, files.
const RESERVED: usize = 512;
/// Connections that the kernel takes before we do.
const BACKLOG: u32 = 2048;

/// Bytes of answers to pipelined requests that are written together; a client that does not read holds as many.
const WRITE_BUFFER: usize = 8 << 10;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Binds at once; serves when the returned future is polled. Signals are the caller's business. `descriptors` is how many
/// files the process may have open.
pub fn bind(
    config: &HttpConfig,
    state: AppState,
    descriptors: usize,
) -> Result<(Server, SocketAddr), BindError> {
    let wanted = SocketAddr::new(config.host, config.port);
    let failed = |source| BindError { address: wanted, source };
    let listener = TcpListener::bind(wanted).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let limits = state.limits();
    let state = Data::new(state);
    let threads = std::thread::available_parallelism().map_or(2, NonZeroUsize::get).min(512);
    let builder = Server::build()
        .workers(threads)
        .max_concurrent_connections((connections(descriptors) / threads).max(1))
        .backlog(BACKLOG)
        .shutdown_timeout(whole_seconds(config.shutdown_timeout))
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let server = builder
        .listen("http", listener, move || {
            let app = App::new()
                .app_data(Data::clone(&state))
                .configure(routes::configure)
                .wrap(from_fn(middleware::guard))
                .wrap(Compress::default())
                .wrap(from_fn(middleware::around));
            let app = app.into_factory().map_err(|error: Error| error.error_response());
            let (stopping, limits) = (stopping.clone(), limits.clone());
            let http = HttpServiceBuilder::default()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .client_request_timeout(HEAD_TIME)
                .client_disconnect_timeout(LINGER)
                .keep_alive(KEEP_ALIVE)
                .h1_write_buffer_size(WRITE_BUFFER)
                .local_addr(address)
                .on_connect_ext(|connection: &Connection, data| {
                    data.insert(connection.activity());
                })
                .finish(map_config(app, |()| AppConfig::default()));
            fn_service(move |stream: TcpStream| {
                let peer = stream.peer_addr().ok();
                ready(Ok((Connection::new(stream, limits.clone()), Protocol::Http1, peer)))
            })
            .and_then(http)
        })
        .map_err(failed)?
        .run();
    Ok((server, address))
}

/// How many clients a process with so many descriptors may have.
fn connections(descriptors: usize) -> usize {
    CONNECTIONS.min(descriptors.saturating_sub(RESERVED).max(descriptors / 2))
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_left_for_everything_else() {
        for (descriptors, expected) in
            [(1_000_000, CONNECTIONS), (4096, 3584), (1024, 512), (256, 128), (0, 0)]
        {
            assert_eq!(connections(descriptors), expected);
        }
    }
}
