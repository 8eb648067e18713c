//! Unix socket over which this process reaches its server. No other user may enter its directory, so that no password
//! is sent to a program that took the server's TCP port while it was down.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use uuid::Uuid;

use super::account::Account;
use crate::embedded::{DataDir, EmbeddedError, access};

/// Port that clients of the socket name. A symbolic link leads from it to the server's own, which may change.
pub(super) const PORT: u16 = 5432;
const NAME: &str = "postgres.socket";
/// File that names the socket's directory when it can't be in the data directory.
const FALLBACK_FILE: &str = "postgres.socket-dir";
const FALLBACK_PARENT: &str = "/tmp";
const FALLBACK_PREFIX: &str = "filesys-";
/// Maximum length of a socket's path on Linux and most other systems, without the final NUL.
const MAX_SOCKET_PATH_BYTES: usize = 103;
const LONGEST_SOCKET_NAME: &str = "/.s.PGSQL.65535";

/// Directory that only the server's user and this process' user may enter. Its path stays the same while this process
/// runs.
#[derive(Debug, Clone)]
pub(super) struct SocketDir {
    path: PathBuf,
    /// File that names `path`, if that is in `/tmp`.
    record: Option<PathBuf>,
}

impl SocketDir {
    /// Chooses the path: beside the cluster, or in `/tmp` when that path is too long or can't be given to a client. A directory in
    /// `/tmp` that a killed run left behind is used again, or removed if it is no longer needed.
    pub fn choose(dir: &DataDir, home: &Path, account: Option<&Account>) -> Result<Self, EmbeddedError> {
        let record = dir.join(FALLBACK_FILE);
        let last = dir.read(FALLBACK_FILE)?.map(|text| PathBuf::from(text.trim_end()));
        let owner = account.map_or_else(|| Uid::effective().as_raw(), Account::uid);
        let is_ours = |path: &PathBuf| {
            is_fallback(path)
                && fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == owner)
        };
        let last = last.filter(is_ours);
        let path = home.join(NAME);
        if is_usable(&path) {
            if let Some(path) = last {
                Self { path, record: Some(record) }.remove();
            }
            return Ok(Self { path, record: None });
        }
        if let Some(path) = last {
            return Ok(Self { path, record: Some(record) });
        }
        let path = Path::new(FALLBACK_PARENT).join(format!("{FALLBACK_PREFIX}{}", Uuid::new_v4().simple()));
        // Recorded before it is made: a killed process leaves no directory in `/tmp` that no run knows of.
        dir.write_private(FALLBACK_FILE, &format!("{}\n", path.display()))?;
        Ok(Self { path, record: Some(record) })
    }

    /// Removes a directory in `/tmp`, when the server has ended. A directory in the data directory stays.
    pub fn remove(&self) {
        let Some(record) = &self.record else { return };
        for removed in [fs::remove_dir_all(&self.path), fs::remove_file(record)] {
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                log::warn!(
                    path = self.path.display().to_string(), error = error.to_string();
                    "the directory of PostgreSQL's socket can't be removed"
                );
            }
        }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Recreates the directory, without the socket and the lock file of a killed server, for a server that will listen
    /// on `port`. No server may be running.
    pub fn prepare(&self, port: u16, account: Option<&Account>) -> Result<(), EmbeddedError> {
        let prepare = || {
            match fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            DirBuilder::new().mode(access::DIRECTORY).create(&self.path)?;
            if port != PORT {
                symlink(format!(".s.PGSQL.{port}"), self.path.join(format!(".s.PGSQL.{PORT}")))?;
            }
            account.map_or(Ok(()), |account| account.own(&self.path))
        };
        prepare().map_err(EmbeddedError::io(&self.path))
    }

    /// Returns the server's setting. It is a list, in which double quotes keep a path together.
    pub fn setting(&self) -> String {
        let path = self.path.to_string_lossy().replace('"', "\"\"");
        format!("unix_socket_directories=\"{path}\"")
    }

    /// Returns the directory as the host of a URL.
    pub fn url_host(&self) -> String {
        let bytes = self.path.as_os_str().as_encoded_bytes();
        bytes.iter().fold(String::new(), |text, &byte| {
            if byte.is_ascii_alphanumeric() {
                text + &char::from(byte).to_string()
            } else {
                format!("{text}%{byte:02X}")
            }
        })
    }
}

/// Tells whether `choose` can have made this path in `/tmp`.
fn is_fallback(path: &Path) -> bool {
    path.parent() == Some(Path::new(FALLBACK_PARENT))
        && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FALLBACK_PREFIX))
}

/// Tells whether a socket can have this path and clients can name it: they take a host with a comma for two hosts.
fn is_usable(path: &Path) -> bool {
    let text = path.to_str();
    text.is_some_and(|text| {
        text.len() + LONGEST_SOCKET_NAME.len() <= MAX_SOCKET_PATH_BYTES && !text.contains([',', '\n'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_no_socket_can_have_is_replaced_by_one_in_tmp_that_stays() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x".repeat(100), "a,b".to_owned()] {
            let data = DataDir::open(&dir.path().join(name)).unwrap();
            let first = SocketDir::choose(&data, data.path(), None).unwrap();
            first.prepare(7, None).unwrap();
            assert_eq!(first.path().parent(), Some(Path::new("/tmp")));
            let again = SocketDir::choose(&data, data.path(), None).unwrap();
            assert_eq!(again.path(), first.path());
            again.remove();
            assert!(!first.path().exists() && !data.join(FALLBACK_FILE).exists());
            let other = SocketDir::choose(&data, data.path(), None).unwrap();
            assert_ne!(other.path(), first.path(), "another user could have made it");
            other.prepare(7, None).unwrap();

            // Killed, then the data directory is moved to where a socket can be.
            let near = dir.path().join("near");
            let from = data.path().to_owned();
            drop(data);
            fs::rename(from, &near).unwrap();
            let data = DataDir::open(&near).unwrap();
            let moved = SocketDir::choose(&data, data.path(), None).unwrap();
            assert_eq!(moved.path(), near.join(NAME));
            assert!(!other.path().exists() && !data.join(FALLBACK_FILE).exists());
            drop(data);
            fs::remove_dir_all(&near).unwrap();
        }
        let data = DataDir::open(&dir.path().join("y".repeat(100))).unwrap();
        for foreign in [dir.path().to_owned(), PathBuf::from("/tmp"), PathBuf::from("/tmp/filesys-x/..")] {
            data.write_private(FALLBACK_FILE, &format!("{}\n", foreign.display())).unwrap();
            assert_ne!(SocketDir::choose(&data, data.path(), None).unwrap().path(), foreign);
        }
        let data = DataDir::open(&dir.path().join("ü b")).unwrap();
        let socket = SocketDir::choose(&data, data.path(), None).unwrap();
        assert_eq!(socket.path(), data.path().join(NAME));
        assert!(socket.url_host().ends_with("%2F%C3%BC%20b%2Fpostgres%2Esocket"), "{}", socket.url_host());
    }
}
