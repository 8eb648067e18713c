//! How every connection to PostgreSQL is opened: encrypted as the URL asks.

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use super::{DbError, certificate, limits};
use crate::config::DatabaseTarget;
use crate::config::database_url::{ChannelBinding, Place};
use crate::config::encryption::Encryption;

/// A database and the way to it. The file of an authority is read when this is made, not at each connect.
pub(super) struct Connector {
    target: Config,
    /// `None`: in the clear.
    tls: Option<MakeRustlsConnect>,
}

impl Connector {
    /// Connects to nothing yet.
    pub fn new(url: &SecretString) -> Result<Self, DbError> {
        let wanted = DatabaseTarget::parse(url.expose_secret()).map_err(DbError::Unavailable)?;
        let mut target = configuration(&wanted);
        let unusable = |error: &dyn std::error::Error| DbError::Unavailable(error.to_string());
        let any_host = |authorities| certificate::client(authorities).map_err(|error| unusable(&error));
        let (mode, client) = match wanted.encryption {
            Encryption::Off => (SslMode::Disable, None),
            Encryption::IfPossible => (SslMode::Prefer, Some(any_host(None)?)),
            Encryption::Unverified => (SslMode::Require, Some(any_host(None)?)),
            Encryption::Authority(authorities) => {
                (SslMode::Require, Some(any_host(Some(authorities.root_store()))?))
            }
            Encryption::Host(authorities) => {
                (SslMode::Require, Some(authorities.client(None).map_err(|error| unusable(&error))?))
            }
        };
        target.ssl_mode(mode);
        Ok(Self { target, tls: client.map(MakeRustlsConnect::new) })
    }

    /// A connection for plain questions; it ends with the handle. Has no time limit of its own.
    pub async fn client(&self) -> Result<(Client, AbortOnDropHandle<()>), tokio_postgres::Error> {
        if let Some(tls) = &self.tls {
            let (client, connection) = self.target.connect(tls.clone()).await?;
            return Ok((client, AbortOnDropHandle::new(tokio::spawn(connection.map(drop)))));
        }
        let (client, connection) = self.target.connect(NoTls).await?;
        Ok((client, AbortOnDropHandle::new(tokio::spawn(connection.map(drop)))))
    }

    /// Has no time limit of its own.
    pub async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        let failed = |error| ConnectionError::BadConnection(cause(&error));
        if let Some(tls) = &self.tls {
            let (client, connection) = self.target.connect(tls.clone()).await.map_err(failed)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        } else {
            let (client, connection) = self.target.connect(NoTls).await.map_err(failed)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
    }
}

fn configuration(wanted: &DatabaseTarget) -> Config {
    let mut target = Config::new();
    for server in &wanted.servers {
        match &server.place {
            Place::Host(host) => target.host(host),
            Place::Socket(dir) => target.host_path(dir),
        };
        if let Some(address) = server.address {
            target.hostaddr(address);
        }
        target.port(server.port);
    }
    if let Some(user) = &wanted.user {
        target.user(user);
    }
    if let Some(password) = &wanted.password {
        target.password(password.expose_secret());
    }
    if let Some(database) = &wanted.database {
        target.dbname(database);
    }
    if let Some(options) = &wanted.options {
        target.options(options);
    }
    target.application_name(wanted.application_name.as_deref().unwrap_or("filesys"));
    // Each of several hosts gets its turn within the pool's limit.
    let several = wanted.servers.len() > 1;
    let limit = wanted.connect_timeout.or(several.then_some(limits::CONNECT_ONE));
    if let Some(limit) = limit {
        target.connect_timeout(limit);
    }
    if wanted.must_be_writable {
        target.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    if wanted.balances_load {
        target.load_balance_hosts(LoadBalanceHosts::Random);
    }
    // A silent peer is noticed within half a minute: a firewall that has forgotten the connection, a server that is gone.
    let tcp = wanted.tcp;
    target
        .keepalives(!tcp.without_keepalive)
        .keepalives_idle(tcp.keepalive_idle.unwrap_or(limits::KEEPALIVE_IDLE))
        .keepalives_interval(tcp.keepalive_interval.unwrap_or(limits::KEEPALIVE_INTERVAL))
        .keepalives_retries(tcp.keepalive_count.unwrap_or(limits::KEEPALIVE_COUNT))
        .tcp_user_timeout(tcp.user_timeout.unwrap_or(limits::USER_TIMEOUT));
    target.channel_binding(match wanted.channel_binding {
        ChannelBinding::Disable => tokio_postgres::config::ChannelBinding::Disable,
        ChannelBinding::Prefer => tokio_postgres::config::ChannelBinding::Prefer,
        ChannelBinding::Require => tokio_postgres::config::ChannelBinding::Require,
    });
    target
}

/// Why, in one line, and where it is a matter of encryption, which setting to look at. Holds no part of the URL but
/// names.
pub(super) fn cause(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        let message = answer.message();
        // What pg_hba.conf is told about the connection.
        let hint = if message.ends_with("no encryption") { " (sslmode asks for encryption)" } else { "" };
        return format!("{message}{hint}");
    }
    let mut text = error.to_string();
    let mut inner = std::error::Error::source(error);
    while let Some(error) = inner {
        text = format!("{text}: {error}");
        inner = error.source();
    }
    if text.contains("invalid peer certificate") {
        text.push_str(" (sslrootcert names who is believed)");
    }
    text
}
