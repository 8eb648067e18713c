//! The directory that holds everything the embedded services keep; one process at a time may use it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use uuid::Uuid;

use super::EmbeddedError;

/// Before taking any port that the system has.
const PORTS_TRIED: usize = 20;

/// The directory and its lock, which is held until the last clone is gone.
#[derive(Debug, Clone)]
pub struct DataDir(Arc<Locked>);

#[derive(Debug)]
struct Locked {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is missing, and locks it.
    pub fn open(path: &Path) -> Result<Self, EmbeddedError> {
        // Started by root, PostgreSQL runs as another user, who must be able to pass through. Files are 0600.
        let mode = if Uid::effective().is_root() { 0o711 } else { 0o700 };
        DirBuilder::new().recursive(true).mode(mode).create(path).map_err(EmbeddedError::io(path))?;
        let path = path.canonicalize().map_err(EmbeddedError::io(path))?;
        let lock = lock(&path)?;
        Ok(Self(Arc::new(Locked { path, _lock: lock })))
    }

    /// Absolute, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Replaces a file that only its owner may read. It is there whole or not at all, and survives a power cut.
    pub(super) fn write_private(&self, name: &str, content: &str) -> Result<(), EmbeddedError> {
        let path = self.join(name);
        let write = || {
            let staged = self.join(&format!("{name}.new"));
            let _ = fs::remove_file(&staged);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&staged, &path)?;
            File::open(self.path())?.sync_all()
        };
        write().map_err(EmbeddedError::io(&path))
    }

    /// `None` when there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, EmbeddedError> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EmbeddedError::io(&path)(error)),
        }
    }

    /// Listens on loopback: on the port in the file `name` if it is free, else on another, which the file then holds.
    pub(super) fn listen(&self, name: &str) -> Result<TcpListener, EmbeddedError> {
        let last = self.read(name)?.and_then(|text| text.trim().parse().ok());
        let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        if let Some(listener) = last.and_then(|port| bind(port).ok()) {
            return Ok(listener);
        }
        let kept = std::iter::repeat_with(random_port).take(PORTS_TRIED).find_map(|port| bind(port).ok());
        let listener = kept.map_or_else(|| bind(0), Ok).map_err(EmbeddedError::Listen)?;
        let port = listener.local_addr().map_err(EmbeddedError::Listen)?.port();
        self.write_private(name, &format!("{port}\n"))?;
        Ok(listener)
    }
}

/// Below the range that the system uses for clients (on Linux from 32768 on), one of which could otherwise have the
/// port when we want it again.
fn random_port() -> u16 {
    20_000 + Uuid::new_v4().as_fields().1 % 10_000
}

const LOCK_LIMIT: Duration = Duration::from_secs(1);
const LOCK_AGAIN: Duration = Duration::from_millis(20);

fn lock(dir: &Path) -> Result<File, EmbeddedError> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(EmbeddedError::io(&path))?;
    // A child that is being started holds its parent's files until it is another program: a lock that was just let go
    // may seem taken for an instant.
    let until = Instant::now() + LOCK_LIMIT;
    let outcome = loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_AGAIN),
            outcome => break outcome,
        }
    };
    match outcome {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(EmbeddedError::Locked {
                path: dir.to_owned(),
                owner: fs::read_to_string(&path).unwrap_or_default().trim().to_owned(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(EmbeddedError::io(&path)(error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(EmbeddedError::io(&path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::port::Ports;

    #[test]
    fn a_directory_in_use_is_refused_and_names_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let refused = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        let clone = first.clone();
        drop(first);
        assert!(DataDir::open(dir.path()).is_err());
        drop(clone);
        assert!(DataDir::open(dir.path()).is_ok());
    }

    #[test]
    fn private_files_are_readable_by_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        data.write_private("secret", "one").unwrap();
        data.write_private("secret", "two").unwrap();
        assert_eq!(data.read("secret").unwrap().as_deref(), Some("two"));
        let mode = fs::metadata(data.join("secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_last_port_is_preferred_while_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let listen = || data.listen("port").unwrap().local_addr().unwrap().port();
        let ports = Ports::reserve();
        data.write_private("port", &format!("{}\n", ports.first)).unwrap();
        assert_eq!(listen(), ports.first);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.first)).unwrap();
        let other = listen();
        assert_ne!(other, ports.first);
        assert!(other < 32_768, "where no client gets it");
        assert_eq!(data.read("port").unwrap(), Some(format!("{other}\n")));
        drop(taken);
    }
}
