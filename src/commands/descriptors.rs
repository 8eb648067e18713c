//! Limit of open files and connections: raised to what the process is allowed.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More than anything here needs. Some systems allow a billion, and programs that close all of them one by one.
const ENOUGH: u64 = 65_536;

/// Raises the soft limit to the hard one, or to what is enough. The limit that holds then.
pub(super) fn raise() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 1024;
    };
    let wanted = hard.min(ENOUGH).max(soft);
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(error) => {
            log::warn!(soft, hard, error:%; "the limit of open files can't be raised");
            soft
        }
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}
