//! Where PostgreSQL is: one URL, or its parts.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Env;

#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `postgresql://…`, with the password in it.
    pub url: SecretString,
    pub max_connections: usize,
}

const PARTS: [&str; 5] =
    ["DATABASE_HOST", "DATABASE_PORT", "DATABASE_USER", "DATABASE_PASSWORD", "DATABASE_NAME"];

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
                env.problem("DATABASE_URL and DATABASE_HOST, …_NAME are both set; use one form");
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
    fn both_forms_at_once_are_an_error() {
        let mut env = Env::of([("DATABASE_URL", "postgresql://a/b"), ("DATABASE_HOST", "db")]);
        DatabaseConfig::read(&mut env);
        assert!(env.finish().is_err());
    }
}
