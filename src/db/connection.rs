//! How every connection to PostgreSQL is opened: encrypted as the URL asks.

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{DbError, certificate};
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
        let (url, encryption) = Encryption::take_from(url.expose_secret()).map_err(DbError::Unavailable)?;
        let mut target: Config = url.parse().map_err(|error| DbError::Unavailable(cause(&error)))?;
        let unusable = |error: &dyn std::error::Error| DbError::Unavailable(error.to_string());
        let any_host = |authorities| certificate::client(authorities).map_err(|error| unusable(&error));
        let (mode, client) = match encryption {
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

/// Why, in one line, and where it is a matter of encryption, which setting to look at. Holds no part of the URL but
/// names.
fn cause(error: &tokio_postgres::Error) -> String {
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
