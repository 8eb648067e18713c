//! What a reader says of a variable while it asks for it; the reference page is made of it.

use std::time::Duration;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Other names of the same setting.
    pub aliases: Vec<String>,
    /// Default, written as in the environment.
    pub default: Option<String>,
    pub required: bool,
    /// May also come from the file that `NAME_FILE` names.
    pub secret: bool,
    /// What a value is, where the reader checks it.
    pub syntax: Option<String>,
}

impl Asked {
    /// What another reader, or the same one elsewhere, says of the same variable.
    pub(super) fn add(&mut self, other: &Self) {
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

/// In the largest unit that leaves a whole number.
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
    fn a_span_is_written_as_people_write_it() {
        for (ms, text) in
            [(0, "0"), (250, "250ms"), (10_000, "10s"), (90_000, "90s"), (300_000, "5m"), (86_400_000, "24h")]
        {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
