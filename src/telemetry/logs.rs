//! Log lines on stderr: text for people, or one JSON object a line for machines.

use std::fmt::Write as _;
use std::io::{self, Write};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Logger, Target, WriteStyle};
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};

use super::escape::Escaped;
use crate::config::{LogFormat, TelemetryConfig};
use crate::domain::Timestamp;

/// Sets up the logger of the process; a second call is an error.
pub fn init(config: &TelemetryConfig) -> Result<(), SetLoggerError> {
    let mut builder = Builder::new();
    // s3s, the library of the embedded S3 server, logs whole requests with their signatures, and every error response,
    // even for a missing object: only when the filter names it.
    builder
        .filter_module("s3s", LevelFilter::Off)
        .filter_module("tracing::span", LevelFilter::Off)
        // These log at every retry what our own lines log once.
        .filter_module("rskafka", LevelFilter::Off)
        .filter_module("s3::request", LevelFilter::Off);
    builder.parse_filters(&config.filter).target(Target::Stderr);
    match config.format {
        LogFormat::Text => builder.format(text),
        LogFormat::Json => builder.write_style(WriteStyle::Never).format(json),
    };
    let logger = builder.build();
    log::set_max_level(logger.filter());
    log::set_boxed_logger(Box::new(Demoting(logger)))
}

/// Logger that lowers lines of actix-http about single connections to debug: otherwise any client could fill the log with errors.
/// `http::tally` counts them.
struct Demoting(Logger);

fn is_about_a_client(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("actix_http::")
}

impl Log for Demoting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if is_about_a_client(metadata) {
            let level = metadata.level().max(Level::Debug);
            return self.0.enabled(&Metadata::builder().target(metadata.target()).level(level).build());
        }
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if is_about_a_client(record.metadata()) {
            let level = record.level().max(Level::Debug);
            self.0.log(&record.to_builder().level(level).build());
        } else {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let (time, style) = (Timestamp::now(), out.default_level_style(record.level()));
    write!(out, "[{time} {style}{:<5}{style:#} ", record.level())?;
    let mut line = Escaped(out);
    let written = write!(line, "{}] {}", record.target(), record.args())
        .and_then(|()| record.key_values().visit(&mut Pairs(&mut line)).map_err(|_| std::fmt::Error));
    written.map_err(io::Error::other)?;
    writeln!(out)
}

/// Writes each pair as ` key=value`.
struct Pairs<'a, 'b, W>(&'a mut Escaped<'b, W>);

impl<'kvs, W: Write> VisitSource<'kvs> for Pairs<'_, '_, W> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        write!(self.0, " {key}={value}").map_err(Error::from)
    }
}

fn json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut line = serde_json::Map::new();
    line.insert("timestamp".to_owned(), Timestamp::now().to_string().into());
    line.insert("level".to_owned(), record.level().as_str().to_lowercase().into());
    line.insert("target".to_owned(), record.target().into());
    line.insert("message".to_owned(), record.args().to_string().into());
    // This visitor never fails.
    let _ = record.key_values().visit(&mut Members(&mut line));
    // JSON doesn't escape some characters that end a line elsewhere; escaped, they mean the same.
    write!(Escaped(out), "{}", serde_json::Value::Object(line)).map_err(io::Error::other)?;
    writeln!(out)
}

struct Members<'a>(&'a mut serde_json::Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Members<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = serde_json::to_value(&value).unwrap_or_else(|_| value.to_string().into());
        self.0.insert(key.to_string(), value);
        Ok(())
    }
}
