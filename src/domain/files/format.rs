//! Formats that files can have. A new one is a variant here and a file in `generators/`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Format of a file that is made. Every property of a format is an exhaustive match beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Txt,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 1] = [Self::Txt];

    /// The name in requests, messages and rows; also the extension of the object key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Txt => "txt",
        }
    }

    /// Returns the media type of its files.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Txt => "text/plain; charset=utf-8",
        }
    }

    /// Returns the kind of its files, as events name it.
    pub const fn file_type(self) -> &'static str {
        match self {
            Self::Txt => "text",
        }
    }

    /// Parses the name that the API uses.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}
