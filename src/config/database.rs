//! Where PostgreSQL is: one URL, or its parts.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Env;
use super::encryption::Encryption;

#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `postgresql://…`, with the password in it, and with libpq's `sslmode` and `sslrootcert`.
    pub url: SecretString,
    pub max_connections: usize,
}

const PARTS: [&str; 7] = [
    "DATABASE_HOST",
    "DATABASE_PORT",
    "DATABASE_USER",
    "DATABASE_PASSWORD",
    "DATABASE_NAME",
    "DATABASE_SSLMODE",
    "DATABASE_SSLROOTCERT",
];

impl DatabaseConfig {
    /// True when the environment names a database in either form.
    pub fn is_named(env: &Env) -> bool {
        env.is_set(&["DATABASE_URL", "DATABASE_HOST"])
    }

    pub fn read(env: &mut Env) -> Self {
        let max_connections = env.number(&["DATABASE_MAX_CONNECTIONS"], 10, 2..=1000);
        let has_parts = env.is_set(&PARTS);
        let url = match env.secret("DATABASE_URL") {
            Some(_) if has_parts => {
                env.problem(format!(
                    "DATABASE_URL and one of {} are both set; use one form",
                    PARTS.join(", ")
                ));
                None
            }
            Some(url) => Some(url),
            None if has_parts => url_of_parts(env),
            None => {
                env.missing(&["DATABASE_URL"], "postgresql://user:password@host:5432/name");
                None
            }
        };
        let valid = url.as_ref().is_none_or(|url| {
            Url::parse(url.expose_secret()).is_ok_and(|url| matches!(url.scheme(), "postgres" | "postgresql"))
        });
        if !valid {
            env.problem("DATABASE_URL is not a URL like postgresql://user:password@host:5432/name");
        }
        if let Some(Err(error)) = url.as_ref().map(|url| Encryption::take_from(url.expose_secret())) {
            let variables = if has_parts { "DATABASE_SSLMODE, DATABASE_SSLROOTCERT" } else { "DATABASE_URL" };
            env.problem(format!("{variables}: {error}"));
        }
        Self { url: url.unwrap_or_default(), max_connections }
    }

    /// Host, port and database: what may be logged.
    pub fn address(&self) -> String {
        Url::parse(self.url.expose_secret()).map_or_else(
            |_| "unknown".to_owned(),
            |url| {
                let host = url.host_str().unwrap_or("localhost").to_owned();
                format!("{host}:{}{}", url.port().unwrap_or(5432), url.path())
            },
        )
    }
}

fn url_of_parts(env: &mut Env) -> Option<SecretString> {
    let mut part = |name, what| {
        env.text(&[name]).unwrap_or_else(|| {
            env.problem(format!("{name} is required with the other parts: {what}"));
            String::new()
        })
    };
    let host = part("DATABASE_HOST", "the server's name");
    let user = part("DATABASE_USER", "the role to log in as");
    let name = part("DATABASE_NAME", "the database");
    let port: u16 = env.parse(&["DATABASE_PORT"], 5432, "a port number");
    let password = env.secret("DATABASE_PASSWORD");
    let mut url = Url::parse("postgresql://localhost").ok()?;
    let built = url.set_host(Some(&host)).is_ok()
        && url.set_port(Some(port)).is_ok()
        && url.set_username(&user).is_ok()
        && url.set_password(password.as_ref().map(ExposeSecret::expose_secret)).is_ok();
    if !built {
        env.problem("DATABASE_HOST is not a host name");
    }
    url.set_path(&name);
    let encryption = [("sslmode", "DATABASE_SSLMODE"), ("sslrootcert", "DATABASE_SSLROOTCERT")];
    for (parameter, variable) in encryption {
        if let Some(value) = env.text(&[variable]) {
            url.query_pairs_mut().append_pair(parameter, &value);
        }
    }
    // libpq knows no '+' for a space.
    let query = url.query().map(|query| query.replace('+', "%20"));
    url.set_query(query.as_deref());
    Some(SecretString::from(url.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_same_url_with_the_password_escaped() {
        let mut env = Env::of([
            ("DATABASE_HOST", "db"),
            ("DATABASE_USER", "fileuser"),
            ("DATABASE_PASSWORD", "p@ss/word"),
            ("DATABASE_NAME", "filedb"),
        ]);
        let config = DatabaseConfig::read(&mut env);
        assert_eq!(config.url.expose_secret(), "postgresql://fileuser:p%40ss%2Fword@db:5432/filedb");
        assert_eq!(config.address(), "db:5432/filedb");
        assert!(!format!("{config:?}").contains("word"));
    }

    #[test]
    fn encryption_may_be_a_part_too() {
        let dir = tempfile::Builder::new().prefix("a + b").tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, crate::config::tls::Authorities::default().to_pem()).unwrap();
        let parts = [("DATABASE_HOST", "db"), ("DATABASE_USER", "u+"), ("DATABASE_NAME", "d")];
        let mut env =
            Env::of(parts.into_iter().chain([
                ("DATABASE_SSLMODE", "verify-full"),
                ("DATABASE_SSLROOTCERT", ca.to_str().unwrap()),
            ]));
        let config = DatabaseConfig::read(&mut env);
        env.finish().unwrap();
        let (rest, encryption) = Encryption::take_from(config.url.expose_secret()).unwrap();
        assert_eq!(rest, "postgresql://u+@db:5432/d");
        assert!(matches!(encryption, Encryption::Host(_)));

        let mut env = Env::of(parts.into_iter().chain([("DATABASE_SSLMODE", "on")]));
        DatabaseConfig::read(&mut env);
        assert!(env.finish().unwrap_err().to_string().contains("DATABASE_SSLMODE"));
    }

    #[test]
    fn both_forms_at_once_are_an_error() {
        let mut env = Env::of([("DATABASE_URL", "postgresql://a/b"), ("DATABASE_HOST", "db")]);
        DatabaseConfig::read(&mut env);
        assert!(env.finish().is_err());
    }
}
