//! Journal of the clients: a line before each request is sent and one after its answer, written before the next step.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Line of the journal, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since 1970, for people; no check uses it.
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
    Send {
        serve: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        title: String,
        #[serde(default)]
        description: Option<String>,
        /// True if it is valid; otherwise it must be refused.
        good: bool,
    },
    /// The same POST is about to be sent again.
    Resend { serve: usize },
    /// Answer to one POST.
    Answer {
        #[serde(flatten)]
        response: Response,
        /// Id in a 201.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<i64>,
        /// Difference between a 201 and the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wrong: Option<String>,
    },
    /// An action on a file is about to be requested.
    Action { serve: usize, id: i64, action: Action },
    /// Outcome of the action.
    ActionAnswer {
        id: i64,
        action: Action,
        #[serde(flatten)]
        response: Response,
    },
}

/// Outcome of one HTTP request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Response {
    /// `None` if there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Code of the problem document, or why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Change of a file that a client requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Cancel,
    Retry,
    Delete,
}

/// Append-only file shared by all clients; only the last line may be incomplete, after a kill.
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

    /// Appends a line. The kernel has it when this returns, so a killed process loses nothing.
    pub fn write(&self, number: u64, send: u32, step: Step) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let line = Line { at, seed: self.seed, number, send, step };
        let mut line = serde_json::to_vec(&line).expect("strings and numbers");
        line.push(b'\n');
        self.file.lock().expect("no writer panics").write_all(&line).expect("the journal can be written");
    }
}

/// Reads every line in order; an incomplete last one is skipped.
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
