//! Use cases about uploads: one file for each operation. What arrives goes to the store in parts; rows tell at any time what
//! the store may hold.

mod abort;
mod append;
mod describe;
mod expire;
mod fill;
mod finish;
mod keep;
mod lock;
mod memory;
mod part;
mod receive;
mod release;
mod request;
mod start;
mod store;
mod terminate;

use std::time::Duration;

pub use abort::{abort, fail};
pub use append::{AppendRequest, Appended, append, write};
pub(crate) use expire::expire_all;
pub use expire::{expire, finish_stored};
pub use fill::{Piece, Pieces, pieces};
pub use finish::finish;
pub use lock::{Upload, get, lock};
pub(crate) use memory::UploadMemory;
pub use receive::Receiver;
pub use request::upload;
pub use start::{NewUpload, Started, start};
pub use terminate::terminate;

/// Size of a part of the store's multipart uploads; what fits into one is stored with a single PUT.
pub const PART_BYTES: usize = 8 << 20;
/// Time for which a request holds an upload after its last sign of life. A client whose server was killed waits as long.
const LOCK_LEASE: Duration = Duration::from_secs(10);
/// Time between two commits of what has arrived, which also keep the lock.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(3);
/// Time after which an upload in one request, which no client can resume, ends when its process is gone.
pub const SINGLE_REQUEST_EXPIRY: Duration = Duration::from_mins(1);
