//! Log lines on stderr: text for people, or one JSON object a line for machines.

use std::io::Write;

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target, WriteStyle};
use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Record, SetLoggerError};

use crate::config::{LogFormat, TelemetryConfig};
use crate::domain::Timestamp;

/// Sets up the process's logger; a second call is an error.
pub fn init(config: &TelemetryConfig) -> Result<(), SetLoggerError> {
    let mut builder = Builder::new();
    // The embedded S3 server logs whole requests, signatures included: only when asked for by name.
    builder
        .filter_module("s3s_fs", LevelFilter::Warn)
        .filter_module("tracing::span", LevelFilter::Off)
        // They say at every try what our own lines say once.
        .filter_module("rskafka", LevelFilter::Off)
        .filter_module("s3::request", LevelFilter::Off);
    builder.parse_filters(&config.filter).target(Target::Stderr);
    match config.format {
        LogFormat::Text => builder.format_timestamp_millis(),
        LogFormat::Json => builder.write_style(WriteStyle::Never).format(json),
    };
    builder.try_init()
}

fn json(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let mut line = serde_json::Map::new();
    line.insert("timestamp".to_owned(), Timestamp::now().to_string().into());
    line.insert("level".to_owned(), record.level().as_str().to_lowercase().into());
    line.insert("target".to_owned(), record.target().into());
    line.insert("message".to_owned(), record.args().to_string().into());
    // A visitor that takes everything never fails.
    let _ = record.key_values().visit(&mut Members(&mut line));
    writeln!(out, "{}", serde_json::Value::Object(line))
}

struct Members<'a>(&'a mut serde_json::Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Members<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = serde_json::to_value(&value).unwrap_or_else(|_| value.to_string().into());
        self.0.insert(key.to_string(), value);
        Ok(())
    }
}
