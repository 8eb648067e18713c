//! `filesys demo`: uploads three sample files to a server and shows what becomes of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::time::Instant;

use super::output::is_obeyed;
use super::{CommandError, CommandResult};
use crate::client::{Client, Fields, Record, Stored, Transition};
use crate::config::client::ServerUrl;
use crate::config::{ClientConfig, Env};
use crate::domain::{FileId, Status};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address of the server [default: `FILESYS_URL`, or `http://127.0.0.1:3006`]
    #[arg(long)]
    url: Option<ServerUrl>,
}

/// Time limit of a file to be completed.
const COMPLETION_TIMEOUT: Duration = Duration::from_mins(2);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// File that the demo makes.
struct Sample {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

const SAMPLES: [Sample; 3] = [
    Sample {
        name: "colours.png",
        media_type: "image/png",
        // 64 × 64 pixels.
        bytes: include_bytes!("demo/sample.png"),
    },
    Sample {
        name: "welcome.txt",
        media_type: "text/plain",
        bytes: "This text was uploaded by filesys demo.\nDieser Text auch: größer, schöner, weiter.\n"
            .as_bytes(),
    },
    Sample {
        name: "measurements.csv",
        media_type: "text/csv",
        bytes: b"day,city,celsius\n2026-01-01,Bergen,3.5\n2026-01-01,Cairo,17.0\n2026-01-02,Bergen,2.0\n",
    },
];

pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    let config = ClientConfig::read(&mut env, args.url);
    env.finish()?;
    let client = Client::new(&config)?;
    let mut out = std::io::stdout();
    writeln!(out, "{} files are uploaded to {}", SAMPLES.len(), client.server())?;
    let mut unfinished = Vec::new();
    for sample in &SAMPLES {
        let id = upload(&client, sample).await?;
        let record = completed(&client, id).await?;
        let history = client.timeline(id).await?;
        out.write_all(described(sample, &record, &history).as_bytes())?;
        if record.status != Status::Completed.name() {
            unfinished.push(format!("file {id} is {}", record.status));
        }
    }
    writeln!(out, "\nfiles on the server, by status")?;
    for (status, count) in client.counts().await? {
        writeln!(out, "  {:26} {count}", status.replace(is_obeyed, "\u{fffd}"))?;
    }
    let note = "Above are the histories that the server keeps. The events of the same changes are on the topic file.events.";
    writeln!(out, "\n{note}")?;
    if unfinished.is_empty() { Ok(()) } else { Err(CommandError::Failed(unfinished.join(", "))) }
}

async fn upload(client: &Client, sample: &Sample) -> CommandResult<FileId> {
    let fields = Fields {
        file_name: sample.name.to_owned(),
        claimed_type: Some(sample.media_type.to_owned()),
        tags: vec!["demo".to_owned()],
        folder: Some("demo".to_owned()),
        ..Fields::default()
    };
    let length = sample.bytes.len() as u64;
    let (id, _) = client.create_upload(length, &fields.to_metadata()).await?;
    let bytes = stream::iter([Ok(Bytes::from_static(sample.bytes))]);
    match client.append_upload(id, 0, length, bytes).await? {
        Stored::File(id) => Ok(id),
        Stored::Part(offset) => {
            let text = format!("{offset} of {length} bytes of {} are stored", sample.name);
            Err(CommandError::Failed(text))
        }
    }
}

/// Waits until the file has reached its last status, or the time is over.
async fn completed(client: &Client, id: FileId) -> CommandResult<Record> {
    let started = Instant::now();
    loop {
        let record = client.file(id).await?;
        let is_moving = [Status::Uploading, Status::Pending, Status::Processing]
            .iter()
            .any(|status| status.name() == record.status);
        if !is_moving || started.elapsed() > COMPLETION_TIMEOUT {
            return Ok(record);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Describes a file: what is stored of it, and its history.
fn described(sample: &Sample, record: &Record, history: &[Transition]) -> String {
    let size = record.size.map(|size| format!("{size} bytes"));
    let lines = [
        ("id", Some(record.id.to_string())),
        ("status", Some(record.status.clone())),
        ("stored as", record.s3_location.clone()),
        ("size", size),
        ("SHA-256", record.sha256.clone()),
        ("media type", Some(record.content_type.clone())),
        ("error", record.error.clone()),
    ];
    let history = history.iter().map(|entry| {
        let error = entry.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        ("history", Some(format!("{} {}{error}", entry.at, entry.to)))
    });
    let mut text = format!("\n{}\n", sample.name);
    for (name, value) in lines.into_iter().chain(history) {
        let Some(value) = value else { continue };
        // Writing to a String can't fail.
        let _ = writeln!(text, "  {name:11} {}", value.replace(is_obeyed, "\u{fffd}"));
    }
    text
}
