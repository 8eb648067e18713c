//! Files: the record, requests for new ones, status and transitions, history, lists.

pub mod attribute_rules;
pub mod attributes;
pub mod download_name;
pub mod file;
pub mod file_name;
pub mod file_patch;
pub mod file_type;
pub mod filters;
pub mod format;
pub mod history;
pub mod inline;
pub mod media_type;
pub mod new_file;
pub mod page;
pub mod stats;
pub mod status;

pub use attributes::{Attributes, FileOrigin};
pub use download_name::{DownloadName, ShownName};
pub use file::{File, Revision};
pub use file_name::FileName;
pub use file_patch::{Change, FilePatch};
pub use file_type::FileType;
pub use filters::{Filters, GivenFilters};
pub use format::Format;
pub use history::HistoryEntry;
pub use media_type::MediaType;
pub use new_file::NewFile;
pub use page::{Cursor, Page, PageRequest};
pub use stats::Stats;
pub use status::Status;
