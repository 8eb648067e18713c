//! The HTTP server: one port, all routes, limits of connections, and an orderly stop.

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

use super::connection::{CLOSE_TIMEOUT, Connection, HEAD_TIMEOUT, KEEP_ALIVE_TIMEOUT};
use super::{AppState, middleware, routes};
use crate::config::HttpConfig;

/// Maximum number of connections, if the process may have that many descriptors. Further clients wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;
/// Descriptors kept for everything else: PostgreSQL, S3, Kafka, files.
const RESERVED_DESCRIPTORS: usize = 512;
/// Connections that the kernel keeps until they are accepted.
const LISTEN_BACKLOG: u32 = 2048;

/// Bytes of answers to pipelined requests that are written together. A client that does not read makes its connection keep
/// as many.
const WRITE_BUFFER_BYTES: usize = 8 << 10;

/// Reason why the server could not start.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Binds the port at once, and serves when the returned future is polled. The caller handles signals. `descriptors` is the
/// number of descriptors that the process may have.
pub fn bind(
    config: &HttpConfig,
    state: AppState,
    descriptors: usize,
) -> Result<(Server, SocketAddr), BindError> {
    let requested = SocketAddr::new(config.host, config.port);
    let failed = |source| BindError { address: requested, source };
    let listener = TcpListener::bind(requested).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let limits = state.limits();
    let state = Data::new(state);
    // actix-server's own default, made explicit because the limit of connections is one for each thread.
    let threads = std::thread::available_parallelism().map_or(2, NonZeroUsize::get).min(512);
    let builder = Server::build()
        .workers(threads)
        .max_concurrent_connections((max_connections(descriptors) / threads).max(1))
        .backlog(LISTEN_BACKLOG)
        .shutdown_timeout(whole_seconds(config.shutdown_timeout))
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let server = builder
        .listen("http", listener, move || {
            // The middleware that is added last runs first: `wrap_request` sees the request before, and the answer after, all
            // others, so that it measures the compressed bytes and gives every refusal its body.
            let app = App::new()
                .app_data(Data::clone(&state))
                .configure(routes::configure)
                .wrap(from_fn(middleware::check_origin))
                .wrap(Compress::default())
                .wrap(from_fn(middleware::wrap_request));
            let app = app.into_factory().map_err(|error: Error| error.error_response());
            let (stopping, limits) = (stopping.clone(), limits.clone());
            // Assembled below `HttpServer`, which accepts no stream of another type than its own: `Connection` has the limits that
            // actix-http lacks.
            let http = HttpServiceBuilder::default()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(CLOSE_TIMEOUT)
                .keep_alive(KEEP_ALIVE_TIMEOUT)
                .h1_write_buffer_size(WRITE_BUFFER_BYTES)
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

/// Returns the maximum number of connections of a process with this number of descriptors.
fn max_connections(descriptors: usize) -> usize {
    // A process with few descriptors gives at most half of them away.
    MAX_CONNECTIONS.min(descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(descriptors / 2))
}

/// Rounds down to what actix-server takes. Zero would end all connections at once.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_left_for_everything_else() {
        for (descriptors, expected) in
            [(1_000_000, MAX_CONNECTIONS), (4096, 3584), (1024, 512), (256, 128), (0, 0)]
        {
            assert_eq!(max_connections(descriptors), expected);
        }
    }
}
