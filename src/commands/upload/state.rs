//! Unfinished uploads, remembered in a file from one run to the next.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Maximum number of remembered uploads; the oldest are forgotten first. The server ends them after a day anyway.
const MAX_ENTRIES: usize = 10_000;
/// Maximum size of the file.
const MAX_BYTES: u64 = 64 << 20;
/// Time limit of the wait for another process that writes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Upload: what is sent where. Any difference makes it another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    pub server: String,
    /// Absolute path.
    pub path: String,
    pub size: u64,
    /// Time of the last change in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Fields that were given with it.
    pub metadata: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: Key,
    url: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    uploads: Vec<Entry>,
}

/// The file, which several processes may use at once.
#[derive(Debug, Clone)]
pub(super) struct StateFile {
    path: Option<PathBuf>,
    /// Serializes the tasks of this process, so that they don't poll for the lock.
    tasks: Arc<Mutex<()>>,
}

impl StateFile {
    /// Makes it for a folder; without one nothing is remembered.
    pub fn in_folder(folder: Option<PathBuf>) -> Self {
        Self { path: folder.map(|folder| folder.join("uploads.json")), tasks: Arc::default() }
    }

    /// Returns the address of an unfinished upload.
    pub async fn find(&self, key: &Key) -> io::Result<Option<String>> {
        let key = key.clone();
        self.with(move |path| {
            let found = read(path)?.uploads.into_iter().find(|entry| entry.key == key);
            Ok(found.map(|entry| entry.url))
        })
        .await
    }

    /// Remembers the address of an upload.
    pub async fn put(&self, key: &Key, url: String) -> io::Result<()> {
        let key = key.clone();
        self.with(move |path| {
            let mut document = read(path)?;
            document.uploads.retain(|entry| entry.key != key);
            document.uploads.push(Entry { key, url });
            let surplus = document.uploads.len().saturating_sub(MAX_ENTRIES);
            document.uploads.drain(..surplus);
            write(path, &document)
        })
        .await
    }

    /// Forgets an upload.
    pub async fn remove(&self, key: &Key) -> io::Result<()> {
        let key = key.clone();
        self.with(move |path| {
            let mut document = read(path)?;
            let before = document.uploads.len();
            document.uploads.retain(|entry| entry.key != key);
            if document.uploads.len() == before { Ok(()) } else { write(path, &document) }
        })
        .await
    }

    /// Works on the file with its lock held.
    async fn with<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Some(path) = self.path.clone() else { return Ok(T::default()) };
        let tasks = Arc::clone(&self.tasks);
        let task = tokio::task::spawn_blocking(move || {
            let _serial = tasks.lock().map_err(|_| io::Error::other("another task has panicked"))?;
            let _lock = lock(&path)?;
            work(&path)
        });
        task.await.map_err(io::Error::other)?
    }
}

/// Takes the lock: a file beside, since the file itself is replaced at each change.
fn lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let lock = private().create(true).append(true).open(path.with_extension("lock"))?;
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_TIMEOUT => {
                std::thread::sleep(LOCK_POLL_INTERVAL);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads the file. One that can't be understood counts as empty: it costs no more than uploads that begin again.
fn read(path: &Path) -> io::Result<Document> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Document::default()),
        Err(error) => Err(error),
        Ok(about) if about.len() > MAX_BYTES => Ok(Document::default()),
        Ok(_) => Ok(serde_json::from_slice(&fs::read(path)?).unwrap_or_default()),
    }
}

/// Replaces the file as a whole, so that a process that is killed leaves the old one or the new one.
fn write(path: &Path, document: &Document) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = private().create(true).truncate(true).write(true).open(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(document)?)?;
    fs::rename(&temporary, path)
}

/// Files for the user alone: paths and titles are theirs.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Key {
        Key {
            server: "http://h".to_owned(),
            path: path.to_owned(),
            size: 1,
            modified_ns: 2,
            metadata: String::new(),
        }
    }

    #[tokio::test]
    async fn an_upload_is_found_until_it_is_removed_and_only_if_nothing_differs() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateFile::in_folder(Some(dir.path().join("new/folder")));
        assert_eq!(state.find(&key("/a")).await.unwrap(), None);
        state.put(&key("/a"), "http://h/uploads/1".to_owned()).await.unwrap();
        state.put(&key("/a"), "http://h/uploads/2".to_owned()).await.unwrap();
        let again = StateFile::in_folder(Some(dir.path().join("new/folder")));
        assert_eq!(again.find(&key("/a")).await.unwrap().as_deref(), Some("http://h/uploads/2"));
        for other in [
            key("/b"),
            Key { server: "http://other".to_owned(), ..key("/a") },
            Key { size: 2, ..key("/a") },
            Key { modified_ns: 3, ..key("/a") },
            Key { metadata: "title YQ==".to_owned(), ..key("/a") },
        ] {
            assert_eq!(again.find(&other).await.unwrap(), None, "{other:?}");
        }
        state.remove(&key("/a")).await.unwrap();
        assert_eq!(again.find(&key("/a")).await.unwrap(), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn several_writers_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let puts = (0..20).map(|n| {
            // Each is a process of its own as far as locks go.
            let state = StateFile::in_folder(Some(dir.path().to_owned()));
            tokio::spawn(async move { state.put(&key(&n.to_string()), n.to_string()).await })
        });
        for put in futures_util::future::join_all(puts).await {
            put.unwrap().unwrap();
        }
        let document = read(&dir.path().join("uploads.json")).unwrap();
        assert_eq!(document.uploads.len(), 20);
    }

    #[tokio::test]
    async fn a_damaged_file_counts_as_empty_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("uploads.json"), "{\"uploads\": [{").unwrap();
        let state = StateFile::in_folder(Some(dir.path().to_owned()));
        assert_eq!(state.find(&key("/a")).await.unwrap(), None);
        state.put(&key("/a"), "u".to_owned()).await.unwrap();
        assert_eq!(state.find(&key("/a")).await.unwrap().as_deref(), Some("u"));
    }
}
