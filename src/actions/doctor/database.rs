//! Checks of PostgreSQL: the address, the login, the database, its schema, whether it takes writes.

use secrecy::ExposeSecret;

use super::network;
use crate::config::database_url::Place;
use crate::config::{DatabaseConfig, DatabaseTarget};
use crate::db::DbError;
use crate::db::probe::{Answers, Schema, probe};
use crate::domain::Finding;

const SUBJECT: &str = "postgresql";

pub(super) async fn check(config: &DatabaseConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok(target) = DatabaseTarget::parse(config.url.expose_secret()) {
        for server in &target.servers {
            if let Place::Host(host) = &server.place {
                let host = server.address.map_or_else(|| host.clone(), |address| address.to_string());
                findings.extend(network::unreachable(SUBJECT, "DATABASE_URL", &host, server.port).await);
            }
        }
        // Of several servers one is enough.
        if !findings.is_empty() && findings.len() == target.servers.len() {
            return findings;
        }
    }
    match probe(&config.url).await {
        Ok(answers) => findings.extend(told(config, &answers)),
        Err(error) => findings.push(refused(&error)),
    }
    findings
}

fn told(config: &DatabaseConfig, answers: &Answers) -> Vec<Finding> {
    let Answers { version, is_standby, is_read_only, pools_transactions, schema } = answers;
    let writable = if *pools_transactions {
        Finding::error(
            SUBJECT,
            "a pooler such as PgBouncer in transaction mode is in between: sessions keep no settings, statements and locks",
            "set pool_mode=session for this database there, or have DATABASE_URL name PostgreSQL itself",
        )
    } else if *is_standby {
        Finding::error(
            SUBJECT,
            "this server is a standby: it takes no writes",
            "name the primary in DATABASE_URL, or all servers with target_session_attrs=read-write",
        )
    } else if *is_read_only {
        Finding::error(
            SUBJECT,
            "transactions are read only",
            "ALTER DATABASE … SET default_transaction_read_only = off, or the role's, or the server's",
        )
    } else {
        Finding::ok(SUBJECT, format!("PostgreSQL {version} at {} takes writes", config.address()))
    };
    let subject = "postgresql schema";
    let migrate = "`filesys migrate` makes it";
    let schema = match schema {
        Schema::Current => Finding::ok(subject, "as this executable needs it"),
        Schema::Unindexed => Finding::warning(
            subject,
            "searches read every title: the index needs the extension pg_trgm, which this role could not create",
            "CREATE EXTENSION pg_trgm in this database as its owner or a superuser, then `filesys migrate`",
        ),
        Schema::Missing => Finding::error(subject, "there is no schema in this database", migrate),
        Schema::Behind(count) => Finding::error(subject, format!("{count} migrations are missing"), migrate),
        Schema::Newer(count) => Finding::warning(
            subject,
            format!("{count} migrations were applied by a newer filesys"),
            "update this executable",
        ),
    };
    vec![writable, schema]
}

fn refused(error: &DbError) -> Finding {
    let text = error.to_string();
    let has = |state: &str| text.contains(&format!("(SQLSTATE {state}"));
    let advice = if has("28") {
        "correct user and password in DATABASE_URL (or DATABASE_USER and DATABASE_PASSWORD), or pg_hba.conf"
    } else if has("3D000") {
        "create the database (createdb), or correct its name in DATABASE_URL"
    } else if has("53300") {
        "raise max_connections, or lower DATABASE_MAX_CONNECTIONS"
    } else if has("57P03") {
        "wait until the server has started; see its own log"
    } else if has("42501") {
        "GRANT the right to the role that DATABASE_URL names"
    } else {
        "see the server's own log; where it speaks of TLS or encryption, sslmode in DATABASE_URL decides"
    };
    let detail = error.finding().unwrap_or(text.clone());
    Finding::error(SUBJECT, detail, advice)
}
