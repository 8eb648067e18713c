//! The directory of all files of the embedded services; one process at a time may use it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{EmbeddedError, access};

/// Random ports that are tried before the system chooses one.
const MAX_PORT_TRIES: usize = 20;

/// Data directory with its lock, which is held until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct DataDir(Arc<Locked>);

#[derive(Debug)]
struct Locked {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is missing, closes it to other users, and locks it.
    pub fn open(path: &Path) -> Result<Self, EmbeddedError> {
        if path.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
            return Err(EmbeddedError::LineBreak { path: path.to_owned() });
        }
        if path.to_str().is_none() {
            return Err(EmbeddedError::NotUnicode { path: path.to_owned() });
        }
        access::own_directory(path)?;
        let path = path.canonicalize().map_err(EmbeddedError::io(path))?;
        let lock = lock(&path)?;
        Ok(Self(Arc::new(Locked { path, _lock: lock })))
    }

    /// Returns the path: absolute, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Replaces a file that only its owner may read, atomically and durably.
    pub(super) fn write_private(&self, name: &str, content: &str) -> Result<(), EmbeddedError> {
        let path = self.join(name);
        let write = || {
            let staged = self.join(&format!("{name}.new"));
            // A staged file of a killed process may be left, or a link that must not be followed.
            let _ = fs::remove_file(&staged);
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(access::FILE).open(&staged)?;
            file.write_all(content.as_bytes())?;
            // Synced before the rename, and the directory after it: a power cut leaves the old content or the new one.
            file.sync_all()?;
            fs::rename(&staged, &path)?;
            File::open(self.path())?.sync_all()
        };
        write().map_err(EmbeddedError::io(&path))
    }

    /// Makes the directory of one service, closed to other users.
    pub(super) fn private_dir(&self, name: &str) -> Result<PathBuf, EmbeddedError> {
        let path = self.join(name);
        access::private_directory(&path)?;
        Ok(path)
    }

    /// Opens a file that stays, for its lock or for appending.
    pub(super) fn open_file(&self, name: &str, options: &mut OpenOptions) -> Result<File, EmbeddedError> {
        access::open_file(&self.join(name), options)
    }

    /// Reads a file; `None` when there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, EmbeddedError> {
        let path = self.join(name);
        let mut text = String::new();
        match access::open_file(&path, OpenOptions::new().read(true)) {
            Ok(mut file) => file.read_to_string(&mut text).map_err(EmbeddedError::io(&path))?,
            Err(EmbeddedError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(Some(text))
    }

    /// Listens on loopback: on the port in the file `name` if it is free, else on another one, which is written to the
    /// file.
    pub(super) fn listen(&self, name: &str) -> Result<TcpListener, EmbeddedError> {
        let last = self.read(name)?.and_then(|text| text.trim().parse().ok());
        let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        if let Some(listener) = last.and_then(|port| bind(port).ok()) {
            return Ok(listener);
        }
        let free = std::iter::repeat_with(random_port).take(MAX_PORT_TRIES).find_map(|port| bind(port).ok());
        let listener = free.map_or_else(|| bind(0), Ok).map_err(EmbeddedError::Listen)?;
        let port = listener.local_addr().map_err(EmbeddedError::Listen)?.port();
        self.write_private(name, &format!("{port}\n"))?;
        Ok(listener)
    }
}

/// Returns a port below the range that the system assigns to clients (from 32768 on, on Linux): otherwise a client
/// might hold the port at the next start.
fn random_port() -> u16 {
    20_000 + Uuid::new_v4().as_fields().1 % 10_000
}

/// Time limit for locking the directory.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(20);

fn lock(dir: &Path) -> Result<File, EmbeddedError> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let mut file = access::open_file(&path, options.create(true).truncate(false).read(true).write(true))?;
    // A forked child holds its parent's files until it executes its program, so that a lock that was just released may
    // seem held for an instant.
    let until = Instant::now() + LOCK_TIMEOUT;
    let outcome = loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_RETRY_PAUSE),
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
    // The process id is for the message of the next process only; the lock is what counts.
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

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_that_was_open_to_others_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        for entries in [vec![], vec!["lock", "objects"], vec!["lost+found"]] {
            let path = dir.path().join(format!("data{}", entries.len()));
            fs::create_dir(&path).unwrap();
            for entry in entries {
                fs::write(path.join(entry), "").unwrap();
            }
            for open in [0o755, 0o777, 0o750, 0o711, 0o1777] {
                set_mode(&path, open);
                DataDir::open(&path).unwrap();
                assert_eq!(mode(&path), 0o700, "{open:o}");
            }
        }
    }

    #[test]
    fn a_directory_of_others_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        for open in [0o755, 0o1777] {
            set_mode(dir.path(), open);
            let error = DataDir::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains("thesis.tex") && error.contains("chmod 700"), "{error}");
            assert_eq!(mode(dir.path()), open);
            assert!(!dir.path().join("lock").exists());
        }
        set_mode(dir.path(), 0o700);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_belongs_to_another_user_is_refused() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(12345), None).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("belongs to user 12345") && error.contains("chown root"), "{error}");
        assert!(!dir.path().join("lock").exists());
    }

    #[test]
    fn links_in_the_directory_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&victim, data.join("lock")).unwrap();
        assert!(matches!(DataDir::open(&data), Err(EmbeddedError::Link { .. })));
        fs::remove_file(data.join("lock")).unwrap();
        fs::hard_link(&victim, data.join("lock")).unwrap();
        assert!(matches!(DataDir::open(&data), Err(EmbeddedError::WrongKind { .. })));
        fs::remove_file(data.join("lock")).unwrap();

        let opened = DataDir::open(&data).unwrap();
        for name in ["secret", "secret.new", "objects"] {
            std::os::unix::fs::symlink(&victim, data.join(name)).unwrap();
        }
        assert!(matches!(opened.read("secret"), Err(EmbeddedError::Link { .. })));
        opened.write_private("secret", "mine").unwrap();
        assert_eq!(opened.read("secret").unwrap().as_deref(), Some("mine"));
        assert!(matches!(opened.private_dir("objects"), Err(EmbeddedError::Link { .. })));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_missing_directory_is_made_with_those_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b/ü/data");
        let data = DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("lock")), 0o600);
        assert_eq!(mode(&data.private_dir("objects").unwrap()), 0o700);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(DataDir::open(&file), Err(EmbeddedError::WrongKind { .. })));
        let error = DataDir::open(&dir.path().join("new\nline")).unwrap_err().to_string();
        assert!(error.contains("line break") && !error.contains('\n'), "{error}");
        let name = std::os::unix::ffi::OsStrExt::from_bytes(b"y\xff");
        let name: &std::ffi::OsStr = name;
        assert!(matches!(DataDir::open(&dir.path().join(name)), Err(EmbeddedError::NotUnicode { .. })));
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
