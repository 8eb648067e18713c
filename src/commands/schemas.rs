//! `filesys schemas`: the JSON Schemas of the messages.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::CommandResult;
use super::output::{Output, json};
use crate::domain::messages::MessageSchema;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Schema that is printed [default: a list of all]
    #[arg(value_name = "NAME", value_parser = schema())]
    name: Option<MessageSchema>,
    #[arg(long, value_enum, default_value_t = Output::Table, conflicts_with = "name")]
    output: Output,
}

fn schema() -> impl TypedValueParser<Value = MessageSchema> {
    PossibleValuesParser::new(MessageSchema::ALL.map(MessageSchema::name))
        .try_map(|name| MessageSchema::from_name(&name).ok_or("no such schema"))
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    subject: &'static str,
    id: String,
}

pub(super) fn run(args: &Args) -> CommandResult {
    if let Some(schema) = args.name {
        return Ok(json(&schema.json())?);
    }
    let list = MessageSchema::ALL.map(|schema| Line {
        name: schema.name(),
        subject: schema.subject(),
        id: schema.id(),
    });
    args.output.print(&list, ["NAME", "SUBJECT", "ID"], |line| {
        [line.name.to_owned(), line.subject.to_owned(), line.id.clone()]
    })?;
    Ok(())
}
