//! `filesys migrate`: schema, topics and bucket; idempotent, safe when many run at once.

use std::io::Write;

use crate::actions::provision;
use crate::broker::kafka::Kafka;
use crate::config::{DatabaseConfig, Env, MigrateSettings};
use crate::db::migrations;
use crate::domain::Error;
use crate::storage::Storage;

use super::CommandResult;

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct Args {
    /// Only show which migrations are applied
    #[arg(long)]
    status: bool,
    /// Take back the newest applied migration, with its data
    #[arg(long)]
    revert: bool,
}

pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    if args.status || args.revert {
        let database = DatabaseConfig::read(&mut env);
        env.finish()?;
        return if args.status { status(&database).await } else { revert(&database).await };
    }
    let MigrateSettings { database, kafka, s3 } = MigrateSettings::read(&mut env);
    env.finish()?;
    let mut out = std::io::stdout();
    for name in provision::schema(&database.url).await? {
        writeln!(out, "applied migration {name}")?;
    }
    writeln!(out, "schema is up to date at {}", database.address())?;
    let compat = kafka.compat_topic.as_deref();
    for name in provision::topics(&Kafka::new(&kafka, "filesys-migrate"), kafka.partitions, compat).await? {
        writeln!(out, "made topic {name} with {} partitions", kafka.partitions)?;
    }
    writeln!(out, "topics are there")?;
    let made = provision::bucket(&Storage::new(&s3).map_err(Error::from)?).await?;
    writeln!(out, "{} bucket {}", if made { "made" } else { "there is" }, s3.bucket)?;
    Ok(())
}

async fn status(database: &DatabaseConfig) -> CommandResult {
    let mut out = std::io::stdout();
    for migration in migrations::status(&database.url).await.map_err(Error::from)? {
        writeln!(out, "{}  {}", if migration.applied { "applied" } else { "pending" }, migration.name)?;
    }
    Ok(())
}

async fn revert(database: &DatabaseConfig) -> CommandResult {
    let reverted = migrations::revert(&database.url).await.map_err(Error::from)?;
    let text = reverted.map_or_else(|| "nothing to revert".to_owned(), |name| format!("reverted {name}"));
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
