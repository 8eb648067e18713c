//! Values of the Kafka records (docs/EVENTS.md), one file for each topic: JSON whose unknown members are ignored, and of which the
//! members that the first system wrote are enough.

pub mod compat_event;
pub mod file_create;
pub mod file_created;
pub mod file_event;
pub mod headers;
mod members;
pub mod schemas;
#[cfg(test)]
mod tests;
pub mod topics;

pub use compat_event::{CompatEvent, CompatType};
pub use file_create::CreateFile;
pub use file_created::{FileResult, Outcome};
pub use file_event::{EventType, FileEvent};
pub use members::{MessageError, named_file};
pub use schemas::MessageSchema;
