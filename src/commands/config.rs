//! `filesys config`: the settings that the environment amounts to, or the page that explains them all.

use std::io::Write;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::CommandResult;
use super::output::Output;
use crate::config::effective::{Effective, Source, effective};
use crate::config::{Env, Role, reference};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Role whose settings are printed [default: all settings, and none is required]
    #[arg(long, value_name = "ROLE", value_parser = role())]
    role: Option<Role>,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Print docs/CONFIG.md: every variable, its default and meaning
    #[arg(long, conflicts_with_all = ["role", "output"])]
    reference: bool,
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name))
        .try_map(|name| Role::ALL.into_iter().find(|role| role.name() == name).ok_or("no such role"))
}

pub(super) fn run(args: &Args, env: Env) -> CommandResult {
    if args.reference {
        std::io::stdout().write_all(reference::document().as_bytes())?;
        return Ok(());
    }
    let settings = effective(env, args.role)?;
    args.output.print(&settings, ["SETTING", "FROM", "VALUE"], |setting| {
        [setting.name.to_owned(), from(setting), setting.value.clone().unwrap_or_default()]
    })?;
    Ok(())
}

fn from(setting: &Effective) -> String {
    let variable = setting.variable.as_deref().unwrap_or_default();
    match setting.source {
        Source::Environment => "environment".to_owned(),
        Source::Alias => format!("alias {variable}"),
        Source::File => format!("file of {variable}"),
        Source::Default => "default".to_owned(),
        Source::Unset => "not set".to_owned(),
        Source::Ignored => "ignored".to_owned(),
    }
}
