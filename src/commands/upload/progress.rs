//! Progress of uploads: a bar for each file where stderr is a terminal, otherwise lines.

use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::commands::output::is_obeyed;

/// All that is shown.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// `None` where there is no terminal.
    bars: Option<MultiProgress>,
}

/// Progress of one file.
#[derive(Debug, Clone)]
pub(super) struct FileProgress {
    name: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Looks at stderr.
    pub fn on_stderr() -> Self {
        Self { bars: io::stderr().is_terminal().then(MultiProgress::new) }
    }

    /// Begins a file.
    pub fn begin(&self, name: &str, size: u64) -> FileProgress {
        let name = name.replace(is_obeyed, "\u{fffd}");
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(size).with_prefix(name.clone()));
            let style = "{prefix:32!} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {msg}";
            // The template is a constant; were it wrong, the plain bar does as well.
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar
        });
        let progress = FileProgress { name, bar };
        progress.tell(&format!("uploading {size} bytes"));
        progress
    }

    /// Writes a line on stderr above the bars.
    pub fn say(&self, text: &str) {
        self.around(|| {
            // Nobody to tell if stderr is closed.
            let _ = writeln!(io::stderr(), "{}", text.replace(is_obeyed, "\u{fffd}"));
        });
    }

    /// Writes a line on stdout above the bars.
    pub fn print(&self, text: &str) -> io::Result<()> {
        self.around(|| writeln!(io::stdout(), "{text}"))
    }

    fn around<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

impl FileProgress {
    /// Shows where the next bytes come from.
    pub fn set(&self, offset: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(offset);
            bar.set_message("");
        }
    }

    /// Counts bytes that were sent.
    pub fn add(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    /// Shows a short text behind the bar, or as a line.
    pub fn tell(&self, text: &str) {
        let text = text.replace(is_obeyed, "\u{fffd}");
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => {
                // Nobody to tell if stderr is closed.
                let _ = writeln!(io::stderr(), "{}: {text}", self.name);
            }
        }
    }
}

impl Drop for FileProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
