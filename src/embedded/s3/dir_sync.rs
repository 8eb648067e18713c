//! Syncs of directories, shared by all threads that wait for one (group commit).

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Syncs of directories in rounds.
#[derive(Debug, Default)]
pub(super) struct DirSync {
    rounds: Mutex<Rounds>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    /// Directories that the next round syncs.
    waiting: BTreeSet<PathBuf>,
    /// Number of rounds that have begun; at most the last one is still running.
    begun: u64,
    ended: u64,
    /// Last round that failed, and the cause.
    failed: Option<(u64, io::ErrorKind)>,
}

impl DirSync {
    /// Blocks until each of these directories, as it is now, is durable.
    pub fn sync(&self, dirs: impl IntoIterator<Item = PathBuf>) -> io::Result<()> {
        let mut rounds = self.rounds();
        rounds.waiting.extend(dirs);
        // The round that may be running has begun before: only the next one is sure to see the caller's changes.
        let mine = rounds.begun + 1;
        while rounds.ended < mine {
            if rounds.begun > rounds.ended {
                rounds = self.ended.wait(rounds).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            rounds.begun += 1;
            let (number, dirs) = (rounds.begun, std::mem::take(&mut rounds.waiting));
            drop(rounds);
            let synced = dirs.iter().try_for_each(|dir| sync(dir));
            rounds = self.rounds();
            rounds.ended = number;
            if let Err(error) = synced {
                rounds.failed = Some((number, error.kind()));
            }
            self.ended.notify_all();
        }
        match rounds.failed {
            // A later round may have been the first to report an error of this one, so it counts as well.
            Some((number, kind)) if number >= mine => Err(kind.into()),
            Some(_) | None => Ok(()),
        }
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Syncs a file or directory; one that is gone needs none.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn those_who_wait_together_share_a_sync() {
        let (dir, syncs) = (tempfile::tempdir().unwrap(), DirSync::default());
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        syncs.sync([dir.path().to_owned()]).unwrap();
                    }
                });
            }
        });
        let rounds = syncs.rounds();
        assert_eq!(rounds.begun, rounds.ended);
        assert!(rounds.waiting.is_empty());
        assert!((50..800).contains(&rounds.ended), "{} rounds for 800 calls", rounds.ended);
        assert!(began.elapsed() < Duration::from_mins(1));
    }

    #[test]
    fn a_directory_that_is_gone_needs_no_sync_and_one_that_can_t_be_read_is_an_error() {
        let (dir, syncs) = (tempfile::tempdir().unwrap(), DirSync::default());
        syncs.sync([dir.path().join("gone")]).unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(syncs.sync([file.join("below")]).is_err());
        // The next round is not to blame.
        syncs.sync([dir.path().to_owned()]).unwrap();
    }
}
