//! User that PostgreSQL runs as: its programs refuse root, so a root process runs them as another user.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::{Uid, User};

use super::programs::run;
use crate::embedded::EmbeddedError;

const SYSTEM_USERS: [&str; 2] = ["postgres", "nobody"];

/// Shell script that prints the first of its arguments that can't be entered.
const ENTER_EACH: &str = r#"for dir; do cd "$dir" 2>/dev/null || { echo "$dir"; exit 1; }; done"#;

/// User and group of the server's processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Chooses the owner of `data` if it exists, else a system user. `None` when this process is not root: then the
    /// server runs as its user.
    pub fn choose(data: &Path) -> Result<Option<Self>, EmbeddedError> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        if let Ok(metadata) = fs::metadata(data)
            && metadata.uid() != 0
        {
            return Ok(Some(Self {
                name: User::from_uid(Uid::from_raw(metadata.uid()))
                    .ok()
                    .flatten()
                    .map_or_else(|| metadata.uid().to_string(), |user| user.name),
                uid: metadata.uid(),
                gid: metadata.gid(),
            }));
        }
        let user = SYSTEM_USERS
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .ok_or(EmbeddedError::NoAccount)?;
        Ok(Some(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
    }

    /// Returns the user's id.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Lets the user's group, and no other, pass through a directory that belongs to root.
    pub fn allow_traversal(&self, dir: &Path) -> io::Result<()> {
        chown(dir, None, Some(self.gid))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o710))
    }

    /// Makes the user owner of a file or directory.
    pub fn own(&self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }

    /// Runs a command as this user. The standard library drops root's supplementary groups along with the user id.
    pub fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Checks that the user may pass through every directory from the root to `path`.
    pub async fn check_access(&self, path: &Path) -> Result<(), EmbeddedError> {
        let mut dirs: Vec<&Path> = path.ancestors().collect();
        dirs.reverse();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ENTER_EACH, "sh"]).args(dirs).env_clear().current_dir("/");
        self.apply(&mut command);
        let output = run(command, Duration::from_secs(10)).await?;
        if output.status.success() {
            return Ok(());
        }
        Err(EmbeddedError::NotTraversable {
            account: self.name.clone(),
            path: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()),
        })
    }
}
