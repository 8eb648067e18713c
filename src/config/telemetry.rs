//! Settings of the log.

use std::fmt;
use std::str::FromStr;

use super::Env;

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// Writes one JSON object a line.
    Json,
}

/// Settings of the log.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Filter in the syntax of `env_logger`.
    pub filter: String,
    pub format: LogFormat,
}

impl TelemetryConfig {
    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        Self {
            filter: env.text_or(&["RUST_LOG"], "warn,filesys=info"),
            format: env.parse(&["LOG_FORMAT"], LogFormat::Text, "text or json"),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}
