//! PostgreSQL with TLS: `sslmode` means what libpq means by it, for the pool, for LISTEN and for migrations.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use filesys::config::{EmbeddedConfig, Env};
use filesys::db::{Db, migrations};
use filesys::embedded::{DataDir, Durability, EmbeddedPostgres, PostgresOptions};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::certificates::{Authority, Pair};
use crate::support::{Database, PATIENCE, eventually, holds, within};

const DATABASE: &str = "encrypted";

/// Server that takes encrypted connections only; the test's own one was opened before.
pub struct EncryptedPostgres {
    postgres: EmbeddedPostgres,
    pub admin: tokio_postgres::Client,
    // Behind the server, which goes first.
    _dir: TempDir,
}

impl EncryptedPostgres {
    pub async fn start(pair: &Pair) -> Self {
        // Root hands PostgreSQL to another user, who must get through to the directory.
        let enterable = std::fs::Permissions::from_mode(0o711);
        let dir = tempfile::Builder::new().prefix("filesys-it-").permissions(enterable).tempdir().unwrap();
        let options = PostgresOptions {
            durability: Durability::Fast,
            ..PostgresOptions::new(
                DataDir::open(dir.path()).unwrap(),
                EmbeddedConfig::read(&mut Env::of_process()),
            )
        };
        let postgres = EmbeddedPostgres::start(options).await.unwrap();
        postgres.create_database(DATABASE).await.unwrap();
        let url = postgres.database_url(DATABASE);
        let connecting = tokio_postgres::connect(url.expose_secret(), tokio_postgres::NoTls);
        let (admin, connection) = within(PATIENCE, "connecting", connecting).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        let this = Self { postgres, admin, _dir: dir };
        this.write("server.crt", &pair.certificate).await;
        this.write("server.key", &pair.key).await;
        this.write("pg_hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256").await;
        this.admin.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
        this.admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("the server has TLS", async || {
            let row = this.admin.query_one("SHOW ssl", &[]).await.unwrap();
            holds(row.get::<_, &str>(0) == "on", row)
        })
        .await;
        this
    }

    /// Writes the key through the server, which has to own it.
    async fn write(&self, name: &str, text: &str) {
        let sql = format!(
            "COPY (SELECT regexp_split_to_table('{text}', E'\\n')) TO PROGRAM 'umask 077; cat >{name}'"
        );
        self.admin.batch_execute(&sql).await.unwrap();
    }

    pub fn url(&self, host: &str, parameters: &str) -> SecretString {
        let url = self.postgres.database_url(DATABASE);
        let url = url.expose_secret().replacen("@127.0.0.1:", &format!("@{host}:"), 1);
        SecretString::from(format!("{url}?{parameters}"))
    }

    /// Counts the database's sessions but the test's own: encrypted ones, others.
    pub async fn sessions(&self) -> (i64, i64) {
        let sql = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) \
             FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let row = self.admin.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Error of the product when it can't connect.
    async fn refusal(&self, host: &str, parameters: &str) -> String {
        let url = self.url(host, parameters);
        let migrating = migrations::migrate(&url).await.unwrap_err().to_string();
        let pooled = Db::new(&url, 2).unwrap().ping().await.unwrap_err().to_string();
        assert!(pooled.contains(migrating.trim_start_matches("postgresql is unavailable: ")), "{pooled}");
        assert!(!migrating.contains('\n'), "{migrating}");
        migrating
    }

    pub async fn stop(self) {
        self.postgres.stop().await.unwrap();
    }
}

fn root_certificate(authority: &Authority) -> String {
    format!("sslrootcert={}", authority.path().display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_to_postgresql_is_encrypted_as_asked() {
    let authority = Authority::new();
    let server = EncryptedPostgres::start(&authority.sign(&["localhost"])).await;
    let ca = root_certificate(&authority);
    let modes = [
        ("localhost", format!("sslmode=verify-full&{ca}")),
        // Not in the certificate.
        ("127.0.0.1", format!("sslmode=verify-ca&{ca}")),
        ("127.0.0.1", format!("sslmode=require&{ca}")),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", "sslmode=prefer".to_owned()),
        ("127.0.0.1", "application_name=x".to_owned()),
    ];
    for (host, parameters) in modes {
        let url = server.url(host, &parameters);
        // The server takes nothing else.
        migrations::migrate(&url).await.unwrap();
        let db = Db::new(&url, 2).unwrap();
        db.ping().await.unwrap();
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let listening = tokio::spawn({
            let (db, wake, stop) = (db.clone(), Arc::clone(&wake), stop.clone());
            async move { db.outbox().listen(wake, Duration::from_secs(2), stop).await }
        });
        within(PATIENCE, "listening", wake.notified()).await;
        server.admin.batch_execute("NOTIFY filesys_outbox").await.unwrap();
        within(PATIENCE, "a notification", wake.notified()).await;
        assert_eq!(server.sessions().await, (2, 0), "{parameters}");

        stop.cancel();
        listening.await.unwrap();
        drop(db);
        eventually("the sessions end", async || {
            let sessions = server.sessions().await;
            holds(sessions == (0, 0), sessions)
        })
        .await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_that_is_not_who_it_should_be_is_told_in_one_line() {
    let authority = Authority::new();
    let server = EncryptedPostgres::start(&authority.sign(&["localhost"])).await;
    let stranger = Authority::new();
    let (ca, other) = (root_certificate(&authority), root_certificate(&stranger));

    for parameters in [
        format!("sslmode=verify-full&{other}"),
        format!("sslmode=verify-ca&{other}"),
        format!("sslmode=require&{other}"),
        // Mozilla's authorities.
        "sslmode=verify-full".to_owned(),
    ] {
        let said = server.refusal("localhost", &parameters).await;
        assert!(said.contains("UnknownIssuer") && said.contains("sslrootcert"), "{said}");
    }
    let said = server.refusal("127.0.0.1", &format!("sslmode=verify-full&{ca}")).await;
    assert!(said.contains("not valid for name"), "{said}");
    let said = server.refusal("127.0.0.1", "sslmode=disable").await;
    assert!(said.contains("no encryption") && said.contains("sslmode"), "{said}");
    assert_eq!(server.sessions().await, (0, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_without_tls_is_refused_unless_that_is_allowed() {
    let database = Database::migrated().await;
    let url =
        |parameters: &str| SecretString::from(format!("{}?{parameters}", database.url().expose_secret()));
    for parameters in ["sslmode=prefer", "sslmode=disable"] {
        Db::new(&url(parameters), 2).unwrap().ping().await.unwrap();
    }
    for parameters in ["sslmode=require", "sslmode=verify-full"] {
        let said = Db::new(&url(parameters), 2).unwrap().ping().await.unwrap_err().to_string();
        assert!(said.contains("server does not support TLS"), "{said}");
    }
}
