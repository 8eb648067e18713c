//! Files: the record, requests for new ones, status and transitions, history, lists.

pub mod download_name;
pub mod file;
pub mod file_name;
pub mod format;
pub mod history;
pub mod new_file;
pub mod page;
pub mod stats;
pub mod status;

pub use download_name::{DownloadName, ShownName};
pub use file::{File, Revision};
pub use file_name::FileName;
pub use format::Format;
pub use history::HistoryEntry;
pub use new_file::NewFile;
pub use page::{Cursor, Page, PageRequest};
pub use stats::Stats;
pub use status::Status;
