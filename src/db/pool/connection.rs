//! Opening of every connection to PostgreSQL: server by server, encrypted as asked, with the product's settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Connection, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::certificate;
use super::transport::{AlreadyEncrypted, ObservedStream, ServerMessages, Transport};
use crate::config::DatabaseTarget;
use crate::config::database_url::{ChannelBinding, Place, Server, TcpSettings};
use crate::config::encryption::Encryption;
use crate::db::sqlstate::SqlState;
use crate::db::{DbError, limits};

/// A database and the way to it. The file of an authority is read when this is made, not at each connect.
pub(in crate::db) struct Connector {
    target: DatabaseTarget,
    config: Config,
    tls: Tls,
    /// The server that took the last connection: the first to be tried.
    first: AtomicUsize,
}

enum Tls {
    Off,
    IfPossible(MakeRustlsConnect),
    Always(MakeRustlsConnect),
}

/// An open connection, which the caller drives.
pub(in crate::db) struct Opened {
    pub client: Client,
    pub connection: Connection<ObservedStream, ObservedStream>,
    pub messages: Arc<ServerMessages>,
    pub state: SessionState,
}

/// Kind of session that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) struct SessionState {
    /// The server is a standby, or sessions of this role or database are to take no writes.
    pub is_read_only: bool,
    /// Somebody between hands out server processes.
    pub is_pooled: bool,
    /// The server process that ran the first statement.
    pub process: i32,
}

impl Connector {
    /// Connects to nothing yet.
    pub fn new(url: &SecretString) -> Result<Self, DbError> {
        let target = DatabaseTarget::parse(url.expose_secret()).map_err(DbError::Unavailable)?;
        let unusable = |error: &dyn std::error::Error| DbError::Unavailable(error.to_string());
        let any_host = |authorities| {
            certificate::client(authorities).map(MakeRustlsConnect::new).map_err(|error| unusable(&error))
        };
        let tls = match &target.encryption {
            Encryption::Off => Tls::Off,
            Encryption::IfPossible => Tls::IfPossible(any_host(None)?),
            Encryption::Unverified => Tls::Always(any_host(None)?),
            Encryption::Authority(authorities) => Tls::Always(any_host(Some(authorities.root_store()))?),
            Encryption::Host(authorities) => {
                let client = authorities.client(None).map_err(|error| unusable(&error))?;
                Tls::Always(MakeRustlsConnect::new(client))
            }
        };
        let config = driver_config(&target);
        Ok(Self { target, config, tls, first: AtomicUsize::new(0) })
    }

    /// Time limit for one server to take a connection and to let us in.
    fn limit(&self) -> Duration {
        let several = self.target.servers.len() > 1;
        self.target.connect_timeout.unwrap_or(if several { limits::CONNECT_ONE } else { limits::CONNECT })
    }

    /// Within a time limit for each server.
    pub async fn open(&self) -> Result<Opened, DbError> {
        let servers = &self.target.servers;
        let step = usize::from(self.target.balances_load);
        let first = self.first.fetch_add(step, Ordering::Relaxed);
        let mut failures = Vec::new();
        for offset in 0..servers.len() {
            let index = (first + offset) % servers.len();
            let opening = self.open_at(&servers[index]);
            let opened = tokio::time::timeout(self.limit(), opening).await.unwrap_or(Err(DbError::TimedOut));
            match opened {
                Ok(opened) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(opened);
                }
                Err(failure) => failures.push((&servers[index], failure)),
            }
        }
        Err(together(failures))
    }

    async fn open_at(&self, server: &Server) -> Result<Opened, DbError> {
        let messages = Arc::<ServerMessages>::default();
        let transport = self.transport(server).await?;
        let is_encrypted = matches!(transport, Transport::Tls(_));
        let stream = ObservedStream::new(transport, Arc::clone(&messages));
        let connected = self.config.connect_raw(stream, AlreadyEncrypted).await;
        let (client, mut connection) = connected.map_err(|error| cause(&error, is_encrypted))?;
        let state = session_state(&client, &messages);
        let state = driven(&mut connection, state).await.map_err(|error| match error {
            Some(error) => cause(&error, is_encrypted),
            None => closed(),
        })?;
        if state.is_read_only && self.target.must_be_writable {
            return Err(DbError::ReadOnly);
        }
        Ok(Opened { client, connection, messages, state })
    }

    async fn transport(&self, server: &Server) -> Result<Transport, DbError> {
        let unavailable =
            |error: std::io::Error| DbError::Unavailable(format!("error connecting to server: {error}"));
        let host = match &server.place {
            Place::Socket(dir) => {
                let path = dir.join(format!(".s.PGSQL.{}", server.port));
                return UnixStream::connect(path).await.map(Transport::Unix).map_err(unavailable);
            }
            Place::Host(host) => host,
        };
        let mut stream = match server.address {
            Some(address) => TcpStream::connect((address, server.port)).await,
            None => TcpStream::connect((host.as_str(), server.port)).await,
        }
        .map_err(unavailable)?;
        keep_alive(&stream, self.target.tcp).map_err(unavailable)?;
        let (tls, is_required) = match &self.tls {
            Tls::Off => return Ok(Transport::Tcp(stream)),
            Tls::IfPossible(tls) => (tls, false),
            Tls::Always(tls) => (tls, true),
        };
        // SSLRequest: its length and its number. The answer is one byte.
        stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.map_err(unavailable)?;
        match stream.read_u8().await.map_err(unavailable)? {
            b'S' => {}
            _ if is_required => {
                return Err(DbError::Unavailable(
                    "error performing TLS handshake: server does not support TLS".to_owned(),
                ));
            }
            _ => return Ok(Transport::Tcp(stream)),
        }
        let Ok(tls) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls.clone(), host);
        let stream = tls.connect(stream).await.map_err(|error| tls_failure(&error))?;
        Ok(Transport::Tls(Box::new(stream)))
    }
}

/// Drives a connection until `work` on it ends. `None`: the connection ended without a reason.
pub(in crate::db) async fn driven<T>(
    connection: &mut Connection<ObservedStream, ObservedStream>,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Option<tokio_postgres::Error>> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done.map_err(Some),
            message = std::future::poll_fn(|cx| connection.poll_message(cx)) => match message {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Some(error)),
                None => return Err(None),
            },
        }
    }
}

pub(in crate::db) fn closed() -> DbError {
    DbError::Unavailable("the connection was closed".to_owned())
}

/// A silent peer is noticed by the system within ten seconds: a firewall that has forgotten the connection, a server
/// that is gone without a word.
fn keep_alive(stream: &TcpStream, settings: TcpSettings) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if !settings.without_keepalive {
        let keepalive = TcpKeepalive::new()
            .with_time(settings.keepalive_idle.unwrap_or(limits::KEEPALIVE_IDLE))
            .with_interval(settings.keepalive_interval.unwrap_or(limits::KEEPALIVE_INTERVAL))
            .with_retries(settings.keepalive_count.unwrap_or(limits::KEEPALIVE_COUNT));
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(settings.user_timeout.unwrap_or(limits::USER_TIMEOUT)))?;
    Ok(())
}

fn driver_config(target: &DatabaseTarget) -> Config {
    let mut config = Config::new();
    // What is encrypted is so before the driver has it.
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    if let Some(user) = &target.user {
        config.user(user);
    }
    if let Some(password) = &target.password {
        config.password(password.expose_secret());
    }
    if let Some(database) = &target.database {
        config.dbname(database);
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    config.application_name(target.application_name.as_deref().unwrap_or("filesys"));
    config.channel_binding(match target.channel_binding {
        ChannelBinding::Disable => tokio_postgres::config::ChannelBinding::Disable,
        ChannelBinding::Prefer => tokio_postgres::config::ChannelBinding::Prefer,
        ChannelBinding::Require => tokio_postgres::config::ChannelBinding::Require,
    });
    config
}

/// Each statement looks rows up by an index, and is to go on doing so whatever statistics say: of a table that has just
/// begun to grow, or whose rows live for milliseconds, they say that it is quicker to read it whole. With that there is
/// one good plan for each, whatever its parameters: it is made once, where PostgreSQL would make a new one for each look
/// at a large table, which takes as long as looking.
pub const BY_INDEX: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
     SET plan_cache_mode = force_generic_plan; SET jit = off";

/// Applies the product's settings and says what kind of session it is, in one round trip.
async fn session_state(
    client: &Client,
    messages: &ServerMessages,
) -> Result<SessionState, tokio_postgres::Error> {
    // Statements lock the rows that they evaluate, as READ COMMITTED asks for; under a stricter default of the role they
    // would fail for nothing.
    let settings = format!(
        "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
         SET default_transaction_isolation = 'read committed'; {BY_INDEX}; \
         SELECT current_setting('transaction_read_only'), pg_backend_pid()::text",
        limits::STATEMENT_MILLIS,
        limits::IDLE_MILLIS,
    );
    let answers = client.simple_query(&settings).await?;
    let row = answers
        .iter()
        .find_map(|answer| if let SimpleQueryMessage::Row(row) = answer { Some(row) } else { None });
    let column = |index| row.and_then(|row| row.get(index)).unwrap_or_default();
    let process = column(1).parse().unwrap_or_default();
    Ok(SessionState { is_read_only: column(0) == "on", is_pooled: process != messages.process(), process })
}

/// Makes one error of all that went wrong, with the addresses if there are several.
fn together(mut failures: Vec<(&Server, DbError)>) -> DbError {
    if failures.len() == 1 || failures.iter().all(|(_, failure)| matches!(failure, DbError::ReadOnly)) {
        return failures.pop().map_or_else(closed, |(_, failure)| failure);
    }
    let texts = failures.iter().map(|(server, failure)| {
        let text = failure.to_string();
        format!("{}: {}", server.address_text(), text.trim_start_matches("postgresql is unavailable: "))
    });
    DbError::Unavailable(texts.collect::<Vec<_>>().join("; "))
}

fn tls_failure(error: &std::io::Error) -> DbError {
    let text = error.to_string();
    let is_about_certificate = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
    let hint = if is_about_certificate { " (sslrootcert names who is believed)" } else { "" };
    DbError::Unavailable(format!("error performing TLS handshake: {text}{hint}"))
}

/// Describes a failure in one line, with the setting to look at if it concerns encryption. Of the connection string it
/// holds names only.
pub(in crate::db) fn cause(error: &tokio_postgres::Error, is_encrypted: bool) -> DbError {
    if let Some(answer) = error.as_db_error() {
        let message = answer.message();
        let state: Option<SqlState> = answer.code().code().as_bytes().try_into().ok().map(SqlState);
        // A server that wants encryption says so with the state of a rule of pg_hba.conf that is missing.
        let hint = match state {
            Some(SqlState([b'2', b'8', b'0', b'0', b'0'])) if !is_encrypted => {
                " (not encrypted: the server may want sslmode=require)"
            }
            _ => "",
        };
        return DbError::from_answer(state, format!("{message}{hint}"));
    }
    let mut text = error.to_string();
    let mut inner = std::error::Error::source(error);
    while let Some(error) = inner {
        text = format!("{text}: {error}");
        inner = error.source();
    }
    DbError::Unavailable(text)
}
