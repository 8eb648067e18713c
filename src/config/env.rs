//! Reader of the environment: canonical names, aliases, secrets from files; reports every problem at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Read;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::variable::{Variable, span};

/// Maximum size of a file with a secret; a private key takes 4 KiB.
const MAX_SECRET_FILE_BYTES: u64 = 64 << 10;

/// Placeholder of a value that is not Unicode.
const NOT_UNICODE: &str = "\u{fffd}";

/// Problems of all variables. Values are never shown, since any of them may be a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad configuration:\n  {}", .0.join("\n  "))]
pub struct ConfigError(pub Vec<String>);

/// Snapshot of the environment, with the variables that were read from it and the problems found so far. An empty
/// variable counts as not set. White space around a value is removed, unless it is a secret.
#[derive(Debug, Default)]
pub struct Env {
    vars: BTreeMap<String, String>,
    variables: BTreeMap<String, Variable>,
    problems: Vec<String>,
    tolerates_absence: bool,
}

impl Env {
    /// Takes a snapshot of the process' environment. Variables that are not Unicode are reported when they are read.
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().unwrap_or_else(|_| NOT_UNICODE.to_owned())))
        }))
    }

    /// Makes an environment of these variables.
    pub fn of(vars: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { vars: vars.filter(|(_, value)| !value.is_empty()).collect(), ..Self::default() }
    }

    /// Makes required variables optional, to inspect an environment that is not meant for one role.
    #[must_use]
    pub fn tolerating_absence(self) -> Self {
        Self { tolerates_absence: true, ..self }
    }

    /// Adds a problem; a repeated one is reported once.
    pub fn problem(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    /// Reports that none of `names` is set, although one is required.
    pub fn missing(&mut self, names: &[&str], what: &str) {
        let variable = self.note(names);
        variable.required = true;
        variable.syntax = Some(what.to_owned());
        if !self.tolerates_absence {
            self.problem(format!("{} is required: {what}", names.join(" or ")));
        }
    }

    /// Returns the problems found so far, if there are any.
    pub fn finish(&mut self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError(std::mem::take(&mut self.problems))) }
    }

    /// Tells whether one of `names` is set.
    pub fn is_set(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.peek(name).is_some() || self.peek(&format!("{name}_FILE")).is_some())
    }

    /// Returns every variable that was read, by its canonical name, with the properties that its reader declared.
    pub fn variables(&self) -> &BTreeMap<String, Variable> {
        &self.variables
    }

    /// Returns a value without declaring the variable as read.
    pub fn peek(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Reads the value of the first of `names` that is set; two names with different values are a problem.
    pub fn text(&mut self, names: &[&str]) -> Option<String> {
        self.note(names);
        self.find(names)
    }

    /// Reads the value of the first of `names` that is set. For variables that other programs use as well, so that
    /// several may be set to different values.
    pub fn inherited(&mut self, names: &[&str]) -> Option<String> {
        self.note(names);
        names.iter().find_map(|name| self.peek(name)).map(str::to_owned)
    }

    /// Reads like `inherited` a value that may contain a password.
    pub fn inherited_secret(&mut self, names: &[&str]) -> Option<SecretString> {
        let value = self.inherited(names).map(SecretString::from);
        self.note(names).secret = true;
        value
    }

    /// Reads the value of `name`, which the caller checks; `what` describes valid values on the reference page.
    pub fn described(&mut self, name: &str, what: &str) -> Option<String> {
        self.note(&[name]).syntax = Some(what.to_owned());
        self.find(&[name])
    }

    /// Reads a value that has a default.
    pub fn text_or(&mut self, names: &[&str], default: &str) -> String {
        self.note(names).default = Some(default.to_owned());
        self.find(names).unwrap_or_else(|| default.to_owned())
    }

    fn note(&mut self, names: &[&str]) -> &mut Variable {
        let variable = self.variables.entry(names[0].to_owned()).or_default();
        variable.aliases = names[1..].iter().map(|name| (*name).to_owned()).collect();
        variable
    }

    fn find(&mut self, names: &[&str]) -> Option<String> {
        let set: Vec<(&str, String)> =
            names.iter().filter_map(|name| Some((*name, self.peek(name)?.to_owned()))).collect();
        if let [(first, a), .., (last, b)] = set.as_slice()
            && a != b
        {
            self.problem(format!("{first} and {last} mean the same and have different values; set one"));
        }
        set.into_iter().next().map(|(_, value)| value)
    }

    /// Reads a required value; `what` describes it.
    pub fn required(&mut self, names: &[&str], what: &str) -> String {
        self.note(names);
        self.find(names).unwrap_or_else(|| {
            self.missing(names, what);
            String::new()
        })
    }

    /// Parses a value; `what` completes the problem "NAME is not …".
    pub fn parse<T: FromStr + Display>(&mut self, names: &[&str], default: T, what: &str) -> T {
        let variable = self.note(names);
        variable.default = Some(default.to_string());
        variable.syntax = Some(what.to_owned());
        match self.find(names).map(|text| text.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                self.problem(format!("{} is not {what}", names[0]));
                default
            }
        }
    }

    /// Reads a whole number within `range`.
    pub fn number<T>(&mut self, names: &[&str], default: T, range: std::ops::RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.parse(names, default, &what);
        if range.contains(&value) {
            return value;
        }
        self.problem(format!("{} is not {what}", names[0]));
        default
    }

    /// Reads a duration: `30s`, `250ms`, `5m`, `2h`, `7d`; a number without a unit is in `unit`.
    pub fn duration(&mut self, name: &str, default: Duration, unit: Duration) -> Duration {
        let variable = self.note(&[name]);
        variable.default = Some(span(default));
        variable.syntax =
            Some(format!("a time span, bare in {}", if unit.subsec_millis() > 0 { "ms" } else { "s" }));
        match self.find(&[name]) {
            None => default,
            Some(text) => parse_duration(&text, unit).unwrap_or_else(|| {
                self.problem(format!("{name} is not a time span like 30s, 250ms, 5m or 2h"));
                default
            }),
        }
    }

    /// Reads a secret from `NAME`, or from the file that `NAME_FILE` names: unchanged, except that one newline at the
    /// file's end is removed.
    pub fn secret(&mut self, name: &str) -> Option<SecretString> {
        let file_name = format!("{name}_FILE");
        self.note(&[name]).secret = true;
        let direct = self.vars.get(name).cloned();
        if direct.as_deref() == Some(NOT_UNICODE) {
            self.problem(format!("{name} is not UTF-8"));
        }
        match (direct, self.find(&[&file_name])) {
            (Some(_), Some(_)) => {
                self.problem(format!("{name} and {file_name} are both set; set one"));
                Some(SecretString::default())
            }
            (direct, None) => direct.map(SecretString::from),
            (None, Some(path)) => match read_secret(&path) {
                Ok(text) => {
                    let text = text.strip_prefix(BOM).unwrap_or(&text);
                    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
                    Some(SecretString::from(line.unwrap_or(text).to_owned()))
                        .filter(|secret| !is_empty(secret))
                }
                Err(error) => {
                    self.problem(format!("{file_name} can't be read: {}", error.kind()));
                    None
                }
            },
        }
    }
}

/// Byte order mark, which editors on Windows put before text; it is no part of the value.
pub(super) const BOM: char = '\u{feff}';

/// Reads a file of limited size, whatever kind of file it is.
fn read_secret(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_SECRET_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SECRET_FILE_BYTES {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

fn is_empty(secret: &SecretString) -> bool {
    secret.expose_secret().is_empty()
}

/// Parses a duration; a number without a unit is in `unit`.
pub fn parse_duration(text: &str, unit: Duration) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u32 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" => unit,
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        "d" => Duration::from_hours(24),
        _ => return None,
    };
    unit.checked_mul(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_and_no_value_is_shown() {
        let mut env = Env::of([("A", "hunter2"), ("B", "other"), ("N", "hunter3")]);
        env.text(&["A", "B"]);
        env.number(&["N"], 1_u16, 1..=9);
        env.required(&["MISSING"], "say what");
        let error = env.finish().unwrap_err();
        assert_eq!(error.0.len(), 3);
        assert!(!error.to_string().contains("hunter"));
    }

    #[test]
    fn an_alias_with_the_same_value_is_no_conflict() {
        let mut env = Env::of([("KAFKA_BROKERS", "k:1"), ("KAFKA_BROKER", "k:1")]);
        assert_eq!(env.text(&["KAFKA_BROKERS", "KAFKA_BROKER"]).as_deref(), Some("k:1"));
        assert!(env.finish().is_ok());
    }

    #[test]
    fn time_spans_have_units() {
        let ms = Duration::from_millis(1);
        assert_eq!(parse_duration("250", ms), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h", ms), Some(Duration::from_hours(2)));
        for bad in ["", "-1s", "1w", "s", "1.5s", "99999999999s"] {
            assert_eq!(parse_duration(bad, ms), None, "{bad:?}");
        }
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["s3cret\n", "\u{feff}s3cret\r\n"] {
            std::fs::write(file.path(), text).unwrap();
            let mut env = Env::of([("DATABASE_PASSWORD_FILE", file.path().to_str().unwrap())]);
            assert_eq!(env.secret("DATABASE_PASSWORD").unwrap().expose_secret(), "s3cret");
        }
    }

    #[test]
    fn a_file_without_an_end_is_no_secret() {
        let mut env = Env::of([("A_FILE", "/dev/zero")]);
        assert!(env.secret("A").is_none());
        let problem = env.finish().unwrap_err().to_string();
        assert!(problem.contains("A_FILE can't be read: file too large"), "{problem}");
    }

    #[test]
    fn a_secret_is_as_it_is_but_for_one_newline_of_a_file() {
        for (text, secret) in
            [(" a b \n", " a b "), ("a\n\n", "a\n"), ("a\r\n", "a"), ("a\r", "a\r"), (" \n", " ")]
        {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let mut env = Env::of([("A_FILE", file.path().to_str().unwrap()), ("B", text), ("C", " x ")]);
            assert_eq!(env.secret("A").unwrap().expose_secret(), secret);
            assert_eq!(env.secret("B").unwrap().expose_secret(), text);
            assert_eq!(env.text(&["C"]).unwrap(), "x");
            env.finish().unwrap();
        }
    }
}
