//! Properties of a variable that its reader declares while it reads it. The reference page is generated from them.

use std::time::Duration;

/// Properties of a variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variable {
    /// Other names of the same setting.
    pub aliases: Vec<String>,
    /// Default, written as in the environment.
    pub default: Option<String>,
    pub required: bool,
    /// True if the value may also come from the file that `NAME_FILE` names.
    pub secret: bool,
    /// Description of valid values, where the reader checks them.
    pub syntax: Option<String>,
}

impl Variable {
    /// Adds what another reader, or the same one in another environment, declares of the variable.
    pub(super) fn merge(&mut self, other: &Self) {
        let Self { aliases, default, required, secret, syntax } = other.clone();
        if self.aliases.len() < aliases.len() {
            self.aliases = aliases;
        }
        self.default = self.default.take().or(default);
        self.required |= required;
        self.secret |= secret;
        self.syntax = self.syntax.take().or(syntax);
    }
}

/// Formats a duration in the largest unit that leaves a whole number.
pub(super) fn span(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0".to_owned();
    }
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let (size, unit) = units.into_iter().find(|(size, _)| ms.is_multiple_of(*size)).unwrap_or((1, "ms"));
    format!("{}{unit}", ms / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_in_its_largest_unit() {
        for (ms, text) in
            [(0, "0"), (250, "250ms"), (10_000, "10s"), (90_000, "90s"), (300_000, "5m"), (86_400_000, "24h")]
        {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
