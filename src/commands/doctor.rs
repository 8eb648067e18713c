//! `filesys doctor`: reaches each service as a role would, and says in one line each what is wrong and what to do.

#[cfg(feature = "embedded")]
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::output::Output;
use super::{CommandError, CommandResult};
use crate::actions::doctor::{self, Access, Services};
use crate::config::{DatabaseConfig, Env, KafkaConfig, Role, S3Config};
use crate::domain::{Finding, Severity};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Check what this role needs
    #[arg(long, value_name = "ROLE", value_parser = role(), default_value = "serve")]
    role: Role,
    /// The directory of `filesys up`, for --role up
    #[cfg(feature = "embedded")]
    #[arg(long, value_name = "DIR", default_value = "./filesys-data")]
    data_dir: PathBuf,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name))
        .try_map(|name| Role::ALL.into_iter().find(|role| role.name() == name).ok_or("no such role"))
}

/// Prints every finding; fails when one of them keeps the role from working.
pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    args.role.check(&mut env);
    let services = services(args.role, &mut env);
    env.finish()?;
    let mut findings = doctor::check(&services, "filesys-doctor", Access::ReadWrite).await;
    #[cfg(feature = "embedded")]
    if args.role == Role::Up {
        findings.extend(embedded(&services, &args.data_dir, &mut env).await);
    }
    args.output.print(&findings, ["CHECK", "STATE", "FINDING", "WHAT TO DO"], |finding| {
        let advice = finding.advice.clone().unwrap_or_default();
        [finding.subject.clone(), finding.severity.name().to_owned(), finding.detail.clone(), advice]
    })?;
    let failed = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    match failed {
        0 => Ok(()),
        _ => Err(CommandError::Failed(format!("{failed} of {} checks failed", findings.len()))),
    }
}

/// The services that the environment names for the role.
pub(super) fn services(role: Role, env: &mut Env) -> Services {
    let is_up = role == Role::Up;
    let database = role != Role::Worker && (!is_up || DatabaseConfig::is_named(env));
    let kafka = !is_up || KafkaConfig::is_named(env);
    let s3 = !is_up || S3Config::is_named(env);
    Services {
        database: database.then(|| DatabaseConfig::read(env)),
        kafka: kafka.then(|| KafkaConfig::read(env)),
        s3: s3.then(|| S3Config::read(env)),
    }
}

/// Checks what `up` runs itself where the environment names nothing: PostgreSQL's programs and room on the disk.
#[cfg(feature = "embedded")]
async fn embedded(services: &Services, data_dir: &Path, env: &mut Env) -> Vec<Finding> {
    use crate::config::EmbeddedConfig;
    use crate::embedded::preflight;

    /// Below this PostgreSQL and the object store soon have no room left.
    const MIN_FREE_BYTES: u64 = 1 << 30;

    let mut findings = Vec::new();
    if services.database.is_none() {
        let found = preflight::postgres_version(&EmbeddedConfig::read(env), data_dir).await;
        findings.push(match found {
            Ok(version) => Finding::ok("embedded postgresql", format!("programs of version {version}")),
            Err(error) => Finding::error("embedded postgresql", error.to_string(), "see what the line says"),
        });
    }
    if services.database.is_none() || services.s3.is_none() {
        findings.push(match preflight::free_bytes(data_dir) {
            Ok(free) if free < MIN_FREE_BYTES => Finding::warning(
                "disk",
                format!("{} MiB free at {}", free >> 20, data_dir.display()),
                "free some room, or choose another --data-dir",
            ),
            Ok(free) => Finding::ok("disk", format!("{} MiB free at {}", free >> 20, data_dir.display())),
            Err(error) => Finding::error("disk", error.to_string(), "choose another --data-dir"),
        });
    }
    findings
}
