//! Connection strings in libpq's syntax, `postgresql://…` and `host=… dbname=…`: one parser for connecting and for
//! showing.

mod syntax;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

pub(super) use syntax::{of_parts, without_password};

use super::encryption::Encryption;

/// Database, and how sessions with it are opened. `Debug` doesn't show the password.
#[derive(Debug, Clone)]
pub struct DatabaseTarget {
    /// Tried in this order; one at least.
    pub servers: Vec<Server>,
    /// `None` for the name of this process' user.
    pub user: Option<String>,
    pub password: Option<SecretString>,
    /// `None` for the user's name.
    pub database: Option<String>,
    pub application_name: Option<String>,
    /// Command-line options for the server process, as `-c statement_timeout=5s`.
    pub options: Option<String>,
    /// Time limit for one server to take a connection.
    pub connect_timeout: Option<Duration>,
    pub tcp: TcpSettings,
    /// True if servers that don't accept writes are skipped.
    pub must_be_writable: bool,
    pub channel_binding: ChannelBinding,
    /// True if each session begins with another server.
    pub balances_load: bool,
    pub encryption: Encryption,
}

/// Server of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub place: Place,
    /// Address of `Place::Host`, so that its name is not resolved.
    pub address: Option<IpAddr>,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Host(String),
    /// Directory of the server's Unix socket.
    Socket(PathBuf),
}

/// Settings by which a silent peer is noticed; `None` for the product's own values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpSettings {
    pub without_keepalive: bool,
    pub keepalive_idle: Option<Duration>,
    pub keepalive_interval: Option<Duration>,
    pub keepalive_count: Option<u32>,
    pub user_timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

const DEFAULT_PORT: u16 = 5432;
const MAX_SERVERS: usize = 16;

/// Parameters that are supported.
const SUPPORTED: [&str; 24] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Parameters of libpq that are not supported and would have an effect. Unknown ones are not named in errors: in a
/// malformed string they may be a piece of the password.
const UNSUPPORTED: [&str; 22] = [
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslkey",
    "sslpassword",
    "sslsni",
];

impl DatabaseTarget {
    /// Parses a connection string, and reads the file that `sslrootcert` names. An error names the wrong part, never
    /// its value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parameters = Parameters::default();
        parameters.read(text)?;
        parameters.target()
    }

    /// Returns servers and database, to be shown.
    pub fn address(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(Server::address_text).collect();
        let database = self.database.as_deref().or(self.user.as_deref()).unwrap_or_default();
        format!("{}/{database}", servers.join(","))
    }
}

impl Server {
    pub fn address_text(&self) -> String {
        let port = self.port;
        match &self.place {
            Place::Host(host) if host.contains(':') => format!("[{host}]:{port}"),
            Place::Host(host) => format!("{host}:{port}"),
            Place::Socket(dir) => format!("{}/.s.PGSQL.{port}", dir.display()),
        }
    }
}

/// Values of parameters, by libpq's names.
#[derive(Default)]
struct Parameters(BTreeMap<&'static str, String>);

impl Parameters {
    /// Sets a parameter; the last value counts, as with libpq.
    pub fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        if let Some(known) = SUPPORTED.iter().find(|known| **known == name) {
            if value.contains('\0') {
                return Err(format!("{known} has a zero byte in it"));
            }
            self.0.insert(known, value);
            return Ok(());
        }
        // The JDBC driver's name, which libpq accepts in URLs.
        if name == "ssl" && value == "true" {
            self.0.insert("sslmode", "require".to_owned());
            return Ok(());
        }
        if name == "ssl" || UNSUPPORTED.contains(&name) {
            return Err(format!("the parameter {name} is not supported"));
        }
        Err("it has a parameter that is not supported".to_owned())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// Parses one of `choices`, the first of which is the default.
    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Result<T, String> {
        let Some(value) = self.take(name) else { return Ok(choices[0].1) };
        let found = choices.iter().find(|(choice, _)| *choice == value);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let choices: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            format!("{name} is not one of {}", choices.join(", "))
        })
    }

    fn number(&mut self, name: &str) -> Result<Option<u32>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.trim().parse::<i64>() {
            // As in libpq, 0 stands for the system's own value.
            Ok(number) if number <= 0 => Ok(None),
            Ok(number) => u32::try_from(number).map(Some).map_err(|_| format!("{name} is too large")),
            Err(_) => Err(format!("{name} is not a whole number")),
        }
    }

    fn seconds(&mut self, name: &str) -> Result<Option<Duration>, String> {
        Ok(self.number(name)?.map(|seconds| Duration::from_secs(seconds.into())))
    }

    fn servers(&mut self) -> Result<Vec<Server>, String> {
        let list = |text: Option<String>| -> Vec<String> {
            text.map(|text| text.split(',').map(|one| one.trim().to_owned()).collect()).unwrap_or_default()
        };
        let (hosts, addresses) = (list(self.take("host")), list(self.take("hostaddr")));
        let ports = list(self.take("port"));
        let count = hosts.len().max(addresses.len());
        if count == 0 {
            return Err("it names no host (for a Unix socket: host=/run/postgresql)".to_owned());
        }
        if count > MAX_SERVERS {
            return Err(format!("it names more than {MAX_SERVERS} hosts"));
        }
        if !addresses.is_empty() && !hosts.is_empty() && hosts.len() != addresses.len() {
            return Err("host and hostaddr are lists of different lengths".to_owned());
        }
        if ports.len() > 1 && ports.len() != count {
            return Err("host and port are lists of different lengths".to_owned());
        }
        let server = |index: usize| {
            let port = ports.get(index).or_else(|| ports.first().filter(|_| ports.len() == 1));
            let port = match port.map_or("", String::as_str) {
                "" => DEFAULT_PORT,
                text => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                    "its port is not a number from 1 to 65535 (a / in a password is written %2F)".to_owned()
                })?,
            };
            let address: Option<IpAddr> = match addresses.get(index).map_or("", String::as_str) {
                "" => None,
                text => Some(text.parse().map_err(|_| "hostaddr is not an IP address".to_owned())?),
            };
            let place = match (hosts.get(index).map_or("", String::as_str), address) {
                ("", None) => return Err("one of its hosts is empty".to_owned()),
                ("", Some(address)) => Place::Host(address.to_string()),
                (path, None) if path.starts_with('/') => Place::Socket(path.into()),
                (name, _) if is_host_name(name) => Place::Host(name.to_owned()),
                _ => {
                    return Err(
                        "its host is not a host name, an address or the directory of a socket".to_owned()
                    );
                }
            };
            Ok(Server { place, address, port })
        };
        (0..count).map(server).collect()
    }

    pub fn target(mut self) -> Result<DatabaseTarget, String> {
        let servers = self.servers()?;
        // Unless the user says otherwise, a list of servers serves to find the one that accepts writes.
        let by_default = ("", servers.len() > 1);
        let must_be_writable = self
            .choice(
                "target_session_attrs",
                &[by_default, ("any", false), ("read-write", true), ("primary", true)],
            )
            .map_err(|_| {
                "target_session_attrs is not one of any, read-write, primary: filesys writes".to_owned()
            })?;
        let channel_binding = self.choice(
            "channel_binding",
            &[
                ("prefer", ChannelBinding::Prefer),
                ("disable", ChannelBinding::Disable),
                ("require", ChannelBinding::Require),
            ],
        )?;
        let balances_load = self.choice("load_balance_hosts", &[("disable", false), ("random", true)])?;
        let keeps_alive = self.choice("keepalives", &[("1", true), ("0", false)])?;
        self.choice("client_encoding", &[("UTF8", ()), ("utf8", ()), ("UTF-8", ()), ("auto", ())])?;
        self.choice("gssencmode", &[("disable", ()), ("prefer", ())])?;
        self.choice("sslnegotiation", &[("postgres", ())])?;
        let mode = self.take("sslmode");
        let root_certificate = self.take("sslrootcert");
        let fallback_name = self.take("fallback_application_name");
        let retries = self.number("keepalives_retries")?;
        let database = self.take("dbname");
        let application_name = self.take("application_name").or(fallback_name);
        for (name, value) in [("dbname", &database), ("application_name", &application_name)] {
            if value.as_deref().is_some_and(has_login) {
                return Err(format!("{name} is an address with a login in it; it would be shown"));
            }
        }
        Ok(DatabaseTarget {
            servers,
            user: self.take("user"),
            password: self.take("password").map(SecretString::from),
            database,
            application_name,
            options: self.take("options"),
            connect_timeout: self.seconds("connect_timeout")?,
            tcp: TcpSettings {
                without_keepalive: !keeps_alive,
                keepalive_idle: self.seconds("keepalives_idle")?,
                keepalive_interval: self.seconds("keepalives_interval")?,
                keepalive_count: self.number("keepalives_count")?.or(retries),
                // In milliseconds, unlike the others.
                user_timeout: self.number("tcp_user_timeout")?.map(|ms| Duration::from_millis(ms.into())),
            },
            must_be_writable,
            channel_binding,
            balances_load,
            encryption: Encryption::of(mode.as_deref(), root_certificate.as_deref())?,
        })
    }
}

/// Tells whether the text is an address of the form `scheme://…@…`, which may contain a password.
fn has_login(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

/// Tells whether the text can be a host's name or address, and not a piece of another part.
fn is_host_name(name: &str) -> bool {
    if name.contains(':') {
        // An IPv6 address may end with a zone.
        return name.split('%').next().is_some_and(|address| address.parse::<IpAddr>().is_ok());
    }
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}
