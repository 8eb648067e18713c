//! What is logged and how.

use super::Env;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// The filter syntax of `env_logger`.
    pub filter: String,
    pub format: LogFormat,
}

impl TelemetryConfig {
    pub fn read(env: &mut Env) -> Self {
        let format = match env.text(&["LOG_FORMAT"]).as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(_) => {
                env.problem("LOG_FORMAT is not text or json");
                LogFormat::Text
            }
        };
        let filter = env.text(&["RUST_LOG"]).unwrap_or_else(|| "warn,filesys=info".to_owned());
        Self { filter, format }
    }
}
