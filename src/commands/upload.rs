//! `filesys upload`: sends files and folders to a server, and continues where it was interrupted.

mod plan;
mod progress;
mod send;
mod source;
mod state;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use self::plan::Plan;
use self::progress::Progress;
use self::send::{SendError, Sender};
use self::state::StateFile;
use super::output::is_obeyed;
use super::{CommandError, CommandResult, signals};
use crate::client::{Client, ClientError, Fields, Record};
use crate::config::client::ServerUrl;
use crate::config::env::parse_duration;
use crate::config::{ClientConfig, Env};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files and folders, which are read with all that is in them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Address of the server [default: `FILESYS_URL`, or `http://127.0.0.1:3006`]
    #[arg(long)]
    url: Option<ServerUrl>,
    /// Print the record of each file on stdout, one JSON object a line
    #[arg(long)]
    json: bool,
    /// Title of the files [default: their names]
    #[arg(long)]
    title: Option<String>,
    /// Tag of the files; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Folder on the server; folders in the arguments are put below it
    #[arg(long)]
    folder: Option<String>,
    /// Owner of the files
    #[arg(long)]
    owner: Option<String>,
    /// Number of files that are sent at once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=32))]
    parallel: u8,
    /// Time limit of further tries while the server is away, from the last byte that it took
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = span)]
    retry_for: Duration,
}

fn span(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text, Duration::from_secs(1)).ok_or("a time span is written like 30s, 10m or 2h")
}

pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    let config = ClientConfig::read(&mut env, args.url);
    env.finish()?;
    let stop = signals::stop_token()?;
    let progress = Progress::on_stderr();
    let fields = Fields { title: args.title, tags: args.tags, uploaded_by: args.owner, ..Fields::default() };
    let sender = Sender {
        client: Client::new(&config)?,
        state: StateFile::in_folder(config.state_dir),
        progress: progress.clone(),
        fields,
        retry_for: args.retry_for,
    };
    let planned = tokio::task::spawn_blocking(move || Plan::read(&args.files, args.folder.as_deref()));
    let plan = planned.await.map_err(|error| CommandError::Failed(error.to_string()))?;
    plan.problems.iter().chain(&plan.notes).for_each(|text| progress.say(text));

    let mut outcome = Outcome { failed: plan.problems.len(), ..Outcome::default() };
    let total = plan.files.len() + plan.problems.len();
    let sender = &sender;
    let uploads = plan.files.into_iter().map(|file| async move { (sender.send(&file).await, file.shown) });
    let mut uploads = stream::iter(uploads).buffer_unordered(args.parallel.into());
    loop {
        let ended = tokio::select! {
            () = stop.cancelled() => {
                let text = "interrupted; the same command continues where it was";
                return Err(CommandError::Failed(text.to_owned()));
            }
            ended = uploads.next() => ended,
        };
        match ended {
            None => break,
            Some((Ok(record), name)) => progress.print(&line(&record, &name, args.json))?,
            Some((Err(error), name)) => {
                progress.say(&format!("{name}: not uploaded: {error}"));
                outcome.add(&error);
            }
        }
    }
    outcome.result(total)
}

/// Number of files that are not uploaded, and whether the server is the reason.
#[derive(Debug, Default)]
struct Outcome {
    failed: usize,
    is_unavailable: bool,
}

impl Outcome {
    fn add(&mut self, error: &SendError) {
        self.failed += 1;
        self.is_unavailable |= matches!(error, SendError::Client(ClientError::Unavailable { .. }));
    }

    fn result(&self, total: usize) -> CommandResult {
        let text = format!("{} of {total} not uploaded", self.failed);
        match self.failed {
            0 => Ok(()),
            _ if self.is_unavailable => Err(CommandError::Unavailable(text)),
            _ => Err(CommandError::Failed(text)),
        }
    }
}

fn line(record: &Record, name: &str, is_json: bool) -> String {
    if is_json {
        return record.json.to_string();
    }
    let size = record.size.unwrap_or_default();
    let digest = record.sha256.as_deref().unwrap_or("unknown");
    format!("file {}: {name}, {size} bytes, SHA-256 {digest}", record.id).replace(is_obeyed, "\u{fffd}")
}
