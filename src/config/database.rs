//! Connection settings of PostgreSQL: one URL, or its parts.

use secrecy::{ExposeSecret, SecretString};

use super::Env;
use super::database_url::{self, DatabaseTarget};

/// Connection settings of PostgreSQL.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// Connection string in libpq's syntax, with the password; `DatabaseTarget` parses it.
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
    /// Tells whether the environment names a database, in either form.
    pub fn is_named(env: &Env) -> bool {
        env.is_set(&["DATABASE_URL", "DATABASE_HOST"])
    }

    /// Reads the settings.
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
            Some(url) => {
                if let Err(error) = DatabaseTarget::parse(url.expose_secret()) {
                    env.problem(format!("DATABASE_URL: {error}"));
                }
                Some(url)
            }
            None if has_parts => url_of_parts(env),
            None => {
                env.missing(&["DATABASE_URL"], "postgresql://user:password@host:5432/name");
                None
            }
        };
        Self { url: url.unwrap_or_default(), max_connections }
    }

    /// Returns host, port and database, which may be logged.
    pub fn address(&self) -> String {
        DatabaseTarget::parse(self.url.expose_secret())
            .map_or_else(|_| "unknown".to_owned(), |target| target.address())
    }
}

/// Builds the URL from the parts, whose values are not escaped.
fn url_of_parts(env: &mut Env) -> Option<SecretString> {
    let required = [
        ("host", "DATABASE_HOST", "the server's name"),
        ("user", "DATABASE_USER", "the role to log in as"),
        ("dbname", "DATABASE_NAME", "the database"),
    ];
    let mut values = Vec::new();
    for (parameter, variable, what) in required {
        match env.text(&[variable]) {
            // An IPv6 address may be written in brackets, as in a URL.
            Some(value) if parameter == "host" => {
                let bare = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
                values.push((parameter, bare.unwrap_or(&value).to_owned()));
            }
            Some(value) => values.push((parameter, value)),
            None => env.problem(format!("{variable} is required with the other parts: {what}")),
        }
    }
    let port: u16 = env.parse(&["DATABASE_PORT"], 5432, "a port number");
    values.push(("port", port.to_string()));
    if let Some(password) = env.secret("DATABASE_PASSWORD") {
        values.push(("password", password.expose_secret().to_owned()));
    }
    for (parameter, variable) in [("sslmode", "DATABASE_SSLMODE"), ("sslrootcert", "DATABASE_SSLROOTCERT")] {
        values.extend(env.text(&[variable]).map(|value| (parameter, value)));
    }
    let is_complete = required.iter().all(|(_, variable, _)| env.is_set(&[variable]));
    match database_url::of_parts(values) {
        Ok(url) => Some(url),
        // Its problem was reported when it was read.
        Err(_) if !is_complete => None,
        Err(error) => {
            env.problem(format!("{}: {error}", PARTS.join(", ")));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::encryption::Encryption;

    #[test]
    fn parts_are_taken_as_they_are() {
        for password in
            ["p%40ss", "p@ss", "a/b?c#d&e=f", " leading and trailing ", "ü漢字'\"\\", "%", "x\n", "  "]
        {
            let mut env = Env::of([
                ("DATABASE_HOST", "db"),
                ("DATABASE_USER", "us er@x:y/z%41"),
                ("DATABASE_PASSWORD", password),
                ("DATABASE_NAME", "a b/c%?#"),
            ]);
            let config = DatabaseConfig::read(&mut env);
            env.finish().unwrap();
            let target = DatabaseTarget::parse(config.url.expose_secret()).unwrap();
            assert_eq!(target.password.as_ref().unwrap().expose_secret(), password);
            assert_eq!(target.user.as_deref(), Some("us er@x:y/z%41"));
            assert_eq!(target.database.as_deref(), Some("a b/c%?#"));
            assert!(
                !format!("{config:?} {target:?}").contains(password) || password == "%" || password == "  "
            );
        }
    }

    #[test]
    fn the_host_part_may_be_an_address_a_socket_or_a_list() {
        for (host, address) in [
            ("::1", "[::1]:5432/d"),
            ("[::1]", "[::1]:5432/d"),
            ("/run/postgresql", "/run/postgresql/.s.PGSQL.5432/d"),
            ("a,b", "a:5432,b:5432/d"),
        ] {
            let mut env = Env::of([("DATABASE_HOST", host), ("DATABASE_USER", "u"), ("DATABASE_NAME", "d")]);
            assert_eq!(DatabaseConfig::read(&mut env).address(), address);
            env.finish().unwrap();
        }
        let mut env = Env::of([("DATABASE_HOST", "a b"), ("DATABASE_USER", "u"), ("DATABASE_NAME", "d")]);
        DatabaseConfig::read(&mut env);
        assert!(env.finish().unwrap_err().to_string().contains("DATABASE_HOST"));
    }

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
        let target = DatabaseTarget::parse(config.url.expose_secret()).unwrap();
        assert_eq!(target.user.as_deref(), Some("u+"));
        assert!(matches!(target.encryption, Encryption::Host(_)));

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
