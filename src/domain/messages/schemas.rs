//! JSON Schemas of the messages, generated from their types (docs/schemas).

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::file_event::FileData;
use super::{CompatEvent, CreateFile, FileEvent, FileResult, topics};

/// Schema of a message, or of a part that has a schema of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageSchema {
    FileCreate,
    FileCreated,
    FileEvents,
    /// Schema of an event's `data`, which `dataschema` names.
    FileEventsData,
    /// Schema of the records for consumers of the third source system.
    FileEventsCompat,
}

impl MessageSchema {
    /// All schemas.
    pub const ALL: [Self; 5] =
        [Self::FileCreate, Self::FileCreated, Self::FileEvents, Self::FileEventsData, Self::FileEventsCompat];

    /// Returns the name: that of the topic, by its usual name where it can be chosen, or that with a suffix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FileCreate => topics::CREATE,
            Self::FileCreated => topics::CREATED,
            Self::FileEvents => topics::EVENTS,
            Self::FileEventsData => "file.events.data",
            Self::FileEventsCompat => "file-events",
        }
    }

    /// Returns the message that it describes, in a few words.
    pub const fn subject(self) -> &'static str {
        match self {
            Self::FileCreate => "request to make a file",
            Self::FileCreated => "result of an attempt",
            Self::FileEvents => "event of a file",
            Self::FileEventsData => "data of an event",
            Self::FileEventsCompat => "event for consumers of the third source system",
        }
    }

    /// Parses a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schema| schema.name() == name)
    }

    /// Returns the identifier of the schema, wherever it is read.
    pub fn id(self) -> String {
        format!("urn:filesys:schemas:{}", self.name())
    }

    /// Generates the schema: JSON Schema 2020-12, without references to others.
    pub fn json(self) -> Value {
        let mut schema = match self {
            // Other programs write these: members that readers do without are not required.
            Self::FileCreate => generate::<CreateFile>(SchemaSettings::draft2020_12().for_deserialize()),
            Self::FileCreated => generate::<FileResult>(SchemaSettings::draft2020_12().for_deserialize()),
            Self::FileEvents => generate::<FileEvent<'_>>(SchemaSettings::draft2020_12().for_serialize()),
            Self::FileEventsData => generate::<FileData<'_>>(SchemaSettings::draft2020_12().for_serialize()),
            Self::FileEventsCompat => {
                generate::<CompatEvent<'_>>(SchemaSettings::draft2020_12().for_serialize())
            }
        };
        schema.insert("$id".to_owned(), self.id().into());
        schema.insert("title".to_owned(), self.name().into());
        let mut schema = Value::Object(schema);
        // The order must not depend on serde_json's feature `preserve_order`, which other crates may enable.
        schema.sort_all_objects();
        schema
    }
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> Map<String, Value> {
    let inlined = settings.with(|settings| settings.inline_subschemas = true);
    let mut schema = inlined.into_generator().into_root_schema_for::<T>();
    std::mem::take(schema.ensure_object())
}
