//! Finding of a check of a service or of a setting: what was found, its severity, and what to do about it.

use serde::Serialize;

/// Weight of a finding, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// Works, but not as well or not as safely as it could.
    Warning,
    /// The role can't do its work.
    Error,
}

impl Severity {
    /// Returns the name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Line of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Subject of the check: `kafka`, `s3`, `topic file.create`, …
    pub subject: String,
    pub severity: Severity,
    pub detail: String,
    /// Advice on what to do; `None` if nothing is to be done.
    pub advice: Option<String>,
}

impl Finding {
    /// Makes a finding of something that is right.
    pub fn ok(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), severity: Severity::Ok, detail: detail.into(), advice: None }
    }

    /// Makes a finding of something that works but should be changed.
    pub fn warning(subject: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, advice: Some(advice.into()), ..Self::ok(subject, detail) }
    }

    /// Makes a finding of something that does not work.
    pub fn error(subject: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { severity: Severity::Error, advice: Some(advice.into()), ..Self::ok(subject, detail) }
    }
}
