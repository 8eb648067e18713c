//! The subcommands: each wires one role from the tools and runs it. A subcommand's name is its file's.

mod config;
mod dead_letters;
mod demo;
mod descriptors;
mod doctor;
mod fsck;
mod healthcheck;
mod migrate;
mod output;
mod schemas;
mod serve;
mod signals;
mod topics;
#[cfg(feature = "embedded")]
mod up;
mod upload;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::client::ClientError;
use crate::config::{ConfigError, Env, TelemetryConfig};
use crate::domain::{Error, Fault};
use crate::telemetry::logs;

/// Creates files asynchronously: ask over HTTP, get an answer at once, fetch the file when it is made.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Settings come from the environment; `filesys config --reference` lists them."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process, with its own PostgreSQL, S3 server and broker under one data directory
    #[cfg(feature = "embedded")]
    Up(up::Args),
    /// Serve the HTTP API and the pages, publish requests, record results
    Serve,
    /// Make files: members of the worker consumer group
    Worker(worker::Args),
    /// Send files or folders to a server; an upload that was interrupted continues; exit code 1 if one failed
    Upload(upload::Args),
    /// Send three sample files to a server and show what becomes of them
    Demo(demo::Args),
    /// Make or update schema, topics and bucket
    Migrate(migrate::Args),
    /// Make the topics that are missing and compare all of them with what is needed
    Topics(topics::Args),
    /// Look at records that could not be processed, have them replayed, discard them
    DeadLetters(dead_letters::Args),
    /// Compare the rows with the objects, and find what is stuck; exit code 1 when something is wrong
    Fsck(fsck::Args),
    /// Show the settings of this environment and where each comes from
    Config(config::Args),
    /// List the JSON Schemas of the messages, or print one
    Schemas(schemas::Args),
    /// Reach PostgreSQL, Kafka and S3 as a role would, and say what is wrong and what to do; exit code 1 if anything is
    Doctor(doctor::Args),
    /// Ask the server or worker on this machine whether it is well; exit code 0 if so
    Healthcheck(healthcheck::Args),
}

/// Reason why a command ended; each kind has its exit code.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        match error.kind.fault() {
            Fault::Dependency => Self::Unavailable(error.chain()),
            Fault::Caller | Fault::Product => Self::Failed(error.chain()),
        }
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unavailable { .. } => Self::Unavailable(error.to_string()),
            ClientError::Busy(_) | ClientError::Gone(_) | ClientError::Refused(_) => {
                Self::Failed(error.to_string())
            }
        }
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

type CommandResult<T = ()> = Result<T, CommandError>;

pub async fn run(cli: Cli) -> CommandResult {
    let mut env = Env::of_process();
    let telemetry = TelemetryConfig::read(&mut env);
    logs::init(&telemetry).map_err(|error| CommandError::Failed(error.to_string()))?;
    descriptors::raise();
    #[cfg(feature = "chaos")]
    crate::faults::armed::arm(crate::config::faults::FaultsConfig::read(&mut env));
    match cli.command {
        #[cfg(feature = "embedded")]
        Command::Up(args) => up::run(args, env).await,
        Command::Serve => serve::run(env).await,
        Command::Worker(args) => worker::run(args, env).await,
        Command::Upload(args) => upload::run(args, env).await,
        Command::Demo(args) => demo::run(args, env).await,
        Command::Migrate(args) => migrate::run(args, env).await,
        Command::Topics(args) => topics::run(args, env).await,
        Command::DeadLetters(args) => dead_letters::run(args, env).await,
        Command::Fsck(args) => fsck::run(args, env).await,
        Command::Config(args) => config::run(&args, env),
        Command::Schemas(args) => schemas::run(&args),
        Command::Doctor(args) => doctor::run(args, env).await,
        Command::Healthcheck(args) => healthcheck::run(args, env).await,
    }
}

/// Says on stderr what went wrong and gives the exit code for it (sysexits.h where it has one).
pub fn report(error: &CommandError) -> ExitCode {
    // Nobody to tell if stderr is closed.
    let _ = writeln!(std::io::stderr(), "filesys: {error}");
    ExitCode::from(match error {
        CommandError::Config(_) => 78,
        CommandError::Unavailable(_) => 69,
        CommandError::Failed(_) => 1,
    })
}
