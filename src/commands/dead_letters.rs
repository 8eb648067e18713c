//! `filesys dead-letters`: records that could not be processed, to look at, to have replayed and to discard.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::{Subcommand, ValueEnum};

use super::output::{self, Output};
use super::{CommandError, CommandResult};
use crate::actions::DeadLettersContext;
use crate::actions::dead_letters;
use crate::config::{DeadLettersSettings, Env};
use crate::db::Db;
use crate::domain::dead_letters::dead_letter::Value;
use crate::domain::messages::topics;
use crate::domain::{DeadLetter, DeadLetterId, DeadLetterPageRequest, DeadLetterState, Error, Fault, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them, newest first
    List {
        #[arg(long, value_enum, default_value_t = Which::Open)]
        state: Which,
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Show one with its whole value: text when it is UTF-8, else base64
    Show {
        id: DeadLetterId,
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Ask again for what they asked for; what was replayed before is left alone
    Replay(Chosen),
    /// Take them off the list of open ones
    Discard(Chosen),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Open,
    Replayed,
    Discarded,
    All,
}

#[derive(Debug, clap::Args)]
struct Chosen {
    #[arg(value_name = "ID", required_unless_present = "all_open")]
    ids: Vec<DeadLetterId>,
    /// All that are open now, the oldest first
    #[arg(long, conflicts_with = "ids")]
    all_open: bool,
}

pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    let DeadLettersSettings { database, events, file_deadline } = DeadLettersSettings::read(&mut env);
    env.finish()?;
    let db = Db::new(&database.url, database.max_connections).map_err(Error::from)?;
    let ctx = DeadLettersContext { db, events, file_deadline };
    match args.verb {
        Verb::List { state, limit, output } => list(&ctx, state, limit, output).await,
        Verb::Show { id, output } => show(&ctx, id, output).await,
        Verb::Replay(chosen) => {
            let replay = async |id| Ok(dead_letters::replay(&ctx, id).await?.to_string());
            each(&ctx, chosen, "replayed", replay).await
        }
        Verb::Discard(chosen) => {
            let discard = async |id| {
                dead_letters::discard(&ctx, id).await?;
                Ok("it is discarded".to_owned())
            };
            each(&ctx, chosen, "discarded", discard).await
        }
    }
}

async fn list(ctx: &DeadLettersContext, which: Which, limit: i64, output: Output) -> CommandResult {
    let state = match which {
        Which::Open => Some(DeadLetterState::Open),
        Which::Replayed => Some(DeadLetterState::Replayed),
        Which::Discarded => Some(DeadLetterState::Discarded),
        Which::All => None,
    };
    let request = DeadLetterPageRequest { limit, cursor: None, state, file_id: None };
    let page = dead_letters::list(ctx, &request).await?;
    output.print(
        &page.dead_letters,
        ["ID", "STATE", "RECEIVED", "ORIGIN", "FILE", "ATTEMPT", "ERROR"],
        |one| {
            [
                one.id.to_string(),
                one.state.name().to_owned(),
                one.received_at.to_string(),
                origin(one).unwrap_or_default(),
                one.file_id.map(|id| id.to_string()).unwrap_or_default(),
                one.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
                one.error.clone(),
            ]
        },
    )?;
    if page.next.is_some() {
        log::warn!(limit; "there are more dead letters than the limit");
    }
    Ok(())
}

async fn show(ctx: &DeadLettersContext, id: DeadLetterId, output: Output) -> CommandResult {
    let dead_letter = dead_letters::get(ctx, id).await?;
    match output {
        Output::Table => std::io::stdout().write_all(described(&dead_letter).as_bytes())?,
        Output::Json => output::json(&dead_letter)?,
    }
    Ok(())
}

/// Does it for each of them and says so, line by line; those that can't be done are an error at the end, a database
/// that is away is one at once.
async fn each(
    ctx: &DeadLettersContext,
    chosen: Chosen,
    done: &str,
    verb: impl AsyncFn(DeadLetterId) -> Result<String>,
) -> CommandResult {
    let ids = if chosen.all_open { dead_letters::list_open(ctx).await? } else { chosen.ids };
    let mut out = std::io::stdout();
    let mut problems = Vec::new();
    let wanted = ids.len();
    for id in ids {
        match verb(id).await {
            Ok(text) => writeln!(out, "dead letter {id}: {text}")?,
            Err(error) => match error.kind.fault() {
                Fault::Caller => problems.push(format!("dead letter {id}: {error}")),
                Fault::Dependency | Fault::Product => return Err(error.into()),
            },
        }
    }
    if wanted == 0 {
        writeln!(out, "none is open")?;
    }
    if problems.is_empty() {
        return Ok(());
    }
    let text = format!("{} of {wanted} not {done}\n  {}", problems.len(), problems.join("\n  "));
    Err(CommandError::Failed(text))
}

/// `topic-partition@offset`
fn origin(dead_letter: &DeadLetter) -> Option<String> {
    dead_letter.origin.as_ref().map(|at| format!("{}-{}@{}", at.topic, at.partition, at.offset))
}

/// Describes a dead letter: one line for each thing that is known, then the value.
fn described(dead_letter: &DeadLetter) -> String {
    let settled = dead_letter.settled_at.map(|at| format!(" at {at}")).unwrap_or_default();
    let headers = dead_letter.header_list.iter().map(|header| {
        let value = header.as_text().unwrap_or_else(|| "(no value)".into());
        ("header", Some(format!("{}: {value}", header.name)))
    });
    let lines = [
        ("id", Some(dead_letter.id.to_string())),
        ("state", Some(format!("{}{settled}", dead_letter.state.name()))),
        ("error", Some(dead_letter.error.clone())),
        ("origin", origin(dead_letter)),
        (
            "letter",
            Some(format!("{}-{}@{}", topics::DEAD_LETTERS, dead_letter.partition, dead_letter.offset)),
        ),
        ("received", Some(dead_letter.received_at.to_string())),
        ("file", dead_letter.file_id.map(|id| id.to_string())),
        ("attempt", dead_letter.attempt.map(|attempt| attempt.to_string())),
        ("key", dead_letter.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned())),
    ];
    let mut text = String::new();
    for (name, value) in lines.into_iter().chain(headers) {
        let value = value.unwrap_or_else(|| "-".to_owned()).replace(output::is_obeyed, "\u{fffd}");
        // Writing to a String can't fail.
        let _ = writeln!(text, "{name:9} {value}");
    }
    let size = dead_letter.size.unwrap_or_default();
    match &dead_letter.value {
        None => text + "value     none\n",
        Some(Value::Text(value)) => {
            // A terminal obeys control characters.
            let obeyed = |c: char| output::is_obeyed(c) && c != '\n' && c != '\t';
            text + &format!("value     text, {size} bytes\n\n{}\n", value.replace(obeyed, "\u{fffd}"))
        }
        Some(value @ Value::Bytes(_)) => {
            text + &format!("value     base64, {size} bytes\n\n{}\n", value.as_text())
        }
    }
}
