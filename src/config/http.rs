//! Settings of the HTTP server.

use std::net::IpAddr;
use std::time::Duration;

use super::{Env, OuterConfig};

/// Settings of the HTTP server.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub host: IpAddr,
    /// 0 chooses any free port.
    pub port: u16,
    /// Time that requests in flight have to end after a signal to stop.
    pub shutdown_timeout: Duration,
    pub outer: OuterConfig,
}

impl HttpConfig {
    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        Self {
            host: env.parse(&["HOST"], IpAddr::from([127, 0, 0, 1]), "an IP address"),
            port: env.parse(&["PORT"], 3006, "a port number from 0 to 65535"),
            shutdown_timeout: read_shutdown_timeout(env),
            outer: OuterConfig::read(env),
        }
    }
}

/// Reads the time that work in flight has to end after a signal to stop; workers use it, too.
pub fn read_shutdown_timeout(env: &mut Env) -> Duration {
    env.duration("SHUTDOWN_TIMEOUT", Duration::from_secs(20), Duration::from_secs(1))
}
