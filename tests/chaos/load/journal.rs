//! The oracle: a line before each request is sent and one after its answer, on disk before the next step.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Line of the journal, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since 1970, for people; nothing is judged by it.
    pub at: u64,
    /// Seed of the load: several may share a journal.
    pub seed: u64,
    /// Number of the request; what is done to its file later has the same.
    pub number: u64,
    /// From 1: the same request sent again.
    pub send: u32,
    #[serde(flatten)]
    pub step: Step,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A POST is about to be sent for the first time.
    Ask {
        serve: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        title: String,
        #[serde(default)]
        description: Option<String>,
        /// False: it must be refused, whatever happens.
        good: bool,
    },
    /// The same POST is about to be sent again.
    AskAgain { serve: usize },
    /// What became of one sending.
    Answer {
        #[serde(flatten)]
        said: Said,
        /// Id in a 201.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<i64>,
        /// How a 201 differs from what was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wrong: Option<String>,
    },
    /// A person's move is about to be asked for.
    Move { serve: usize, id: i64, by: By },
    Moved {
        id: i64,
        by: By,
        #[serde(flatten)]
        said: Said,
    },
}

/// What a sending came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Said {
    /// `None`: there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Code of the problem document, or why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Cancel,
    Retry,
    Delete,
}

/// Appended to by many; a line is whole or, after a kill, the last one.
pub struct Journal {
    file: Mutex<File>,
    seed: u64,
}

impl Journal {
    /// # Panics
    /// When it can't be written: without it nothing is proved.
    pub fn open(path: &Path, seed: u64) -> Self {
        let file = File::options().create(true).append(true).open(path);
        let file = Mutex::new(file.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        Self { file, seed }
    }

    /// Handed to the system when this returns, so the end of this process loses nothing.
    pub fn write(&self, number: u64, send: u32, step: Step) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let line = Line { at, seed: self.seed, number, send, step };
        let mut line = serde_json::to_vec(&line).expect("strings and numbers");
        line.push(b'\n');
        self.file.lock().expect("no writer panics").write_all(&line).expect("the journal can be written");
    }
}

/// Every line in order; the last one is left out when it was cut.
pub fn read(path: &Path) -> impl Iterator<Item = Result<Line, String>> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = BufReader::new(file);
    let mut buffer = Vec::new();
    std::iter::from_fn(move || {
        buffer.clear();
        lines.read_until(b'\n', &mut buffer).expect("the journal can be read");
        let line = buffer.strip_suffix(b"\n")?;
        Some(
            serde_json::from_slice(line).map_err(|error| {
                format!("{error}: {}", String::from_utf8_lossy(&line[..line.len().min(200)]))
            }),
        )
    })
}
