//! Access to the files of a data directory: only the user that this process runs as may reach them.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::libc::{ELOOP, O_NOFOLLOW};
use nix::unistd::{Uid, User};

use super::EmbeddedError;

/// Sets the umask, so that new files of this process and its children are accessible to its user alone by default.
pub fn restrict_umask() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// Mode of directories.
pub(super) const DIRECTORY: u32 = 0o700;
/// Mode of files.
pub(super) const FILE: u32 = 0o600;
/// Mode bits of other users, and all bits of the group but the one to pass through: started by root, PostgreSQL runs as
/// another user, whose group may enter.
const OTHERS: u32 = 0o067;
const GROUP_AND_OTHERS: u32 = 0o077;

/// Tells whether filesys has made the file of this name in a data directory, or a new file system comes with it.
fn is_ours(name: &str) -> bool {
    matches!(name, "lock" | "objects" | "lost+found")
        || ["postgres", "s3.port", "s3.credentials"].iter().any(|prefix| name.starts_with(prefix))
}

/// Makes the directory if it is missing. An existing one must belong to this process' user; one that was open to other
/// users is closed to them if it has only files of filesys.
pub(super) fn own_directory(path: &Path) -> Result<(), EmbeddedError> {
    // When this process is root, PostgreSQL's user must be able to pass through the directories above.
    let above = if Uid::effective().is_root() { 0o711 } else { DIRECTORY };
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(above).create(parent).map_err(EmbeddedError::io(path))?;
    }
    make(path)?;
    let metadata = fs::metadata(path).map_err(EmbeddedError::io(path))?;
    check(path, &metadata)?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(EmbeddedError::io(path))? {
        let name = entry.map_err(EmbeddedError::io(path))?.file_name();
        let name = name.to_string_lossy();
        if !is_ours(&name) {
            return Err(EmbeddedError::OpenToOthers {
                path: path.to_owned(),
                mode,
                entry: name.into_owned(),
            });
        }
    }
    close(path, mode)
}

/// Makes a directory inside the data directory if it is missing, and closes it to other users. Refuses a symbolic link.
pub(super) fn private_directory(path: &Path) -> Result<(), EmbeddedError> {
    make(path)?;
    let metadata = fs::symlink_metadata(path).map_err(EmbeddedError::io(path))?;
    if metadata.is_symlink() {
        return Err(EmbeddedError::Link { path: path.to_owned() });
    }
    check(path, &metadata)?;
    let mode = metadata.mode() & 0o7777;
    if mode & GROUP_AND_OTHERS == 0 { Ok(()) } else { close(path, mode) }
}

fn make(path: &Path) -> Result<(), EmbeddedError> {
    match DirBuilder::new().mode(DIRECTORY).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(EmbeddedError::io(path)(error)),
        // Set explicitly, because the umask may have removed bits.
        Ok(()) => set_mode(path, DIRECTORY),
        Err(_) => Ok(()),
    }
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), EmbeddedError> {
    if !metadata.is_dir() {
        return Err(EmbeddedError::WrongKind { path: path.to_owned(), expected: "a directory" });
    }
    let (owner, user) = (Uid::from_raw(metadata.uid()), Uid::effective());
    if owner == user {
        return Ok(());
    }
    Err(EmbeddedError::ForeignOwner { path: path.to_owned(), owner: user_name(owner), user: user_name(user) })
}

fn close(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    log::warn!(
        path = path.display().to_string(), mode = format!("{mode:04o}");
        "directory was open to other users and has been closed to them"
    );
    set_mode(path, DIRECTORY)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(EmbeddedError::io(path))
}

/// Returns the user's name, or the id of a user without one.
fn user_name(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// Opens a regular file. Refuses symbolic links and hard links: writing would change a file elsewhere.
pub(super) fn open_file(path: &Path, options: &mut OpenOptions) -> Result<File, EmbeddedError> {
    let file =
        options.mode(FILE).custom_flags(O_NOFOLLOW).open(path).map_err(|error| of_open(path, error))?;
    let metadata = file.metadata().map_err(EmbeddedError::io(path))?;
    if !metadata.is_file() || metadata.nlink() > 1 {
        let expected = "a regular file with one name";
        return Err(EmbeddedError::WrongKind { path: path.to_owned(), expected });
    }
    Ok(file)
}

fn of_open(path: &Path, error: io::Error) -> EmbeddedError {
    if error.raw_os_error() == Some(ELOOP) {
        return EmbeddedError::Link { path: path.to_owned() };
    }
    EmbeddedError::io(path)(error)
}
