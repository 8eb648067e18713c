//! Attributes of a file beside its content: origin, name, owner, place, relations, counters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FileType;
use crate::domain::Timestamp;

/// Source of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileOrigin {
    /// A worker made them from a request.
    #[default]
    Generated,
    /// A client uploaded them.
    Uploaded,
}

impl FileOrigin {
    /// All origins.
    pub const ALL: [Self; 2] = [Self::Generated, Self::Uploaded];

    /// Returns the name that the API, messages and the database use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Uploaded => "uploaded",
        }
    }

    /// Parses such a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.name() == name)
    }
}

/// JSON object with properties of the content, such as `width` and `height`.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// Attributes of a file. A generated file has none of them unless somebody sets them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attributes {
    pub origin: FileOrigin,
    /// Name that the owner gave it; `None` for generated files, which are named after their title.
    pub file_name: Option<String>,
    pub file_type: Option<FileType>,
    /// Media type that the client named; the real one is the file's `content_type`.
    pub claimed_type: Option<String>,
    /// Id of the owner, as the client names it.
    pub uploaded_by: Option<String>,
    pub uploaded_by_name: Option<String>,
    /// Path of folders, separated by slashes.
    pub folder: Option<String>,
    pub tags: Vec<String>,
    pub related_post_id: Option<String>,
    pub related_category_id: Option<String>,
    pub metadata: Metadata,
    pub view_count: i64,
    pub download_count: i64,
    pub expires_at: Option<Timestamp>,
    /// Time at which it was put into the trash.
    pub trashed_at: Option<Timestamp>,
}

impl Attributes {
    /// Notes in the metadata that the media type is not the claimed one.
    pub fn set_type_warning(&mut self, warning: Option<&str>) {
        match warning {
            Some(text) => self.metadata.insert("type_warning".to_owned(), text.into()),
            None => self.metadata.remove("type_warning"),
        };
    }
}
