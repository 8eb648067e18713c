//! Requirements of the embedded services, checked without starting them.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::EmbeddedError;
use super::postgres::programs::Programs;
use crate::config::EmbeddedConfig;

/// Returns the major version of the PostgreSQL programs that would run on `data_dir`.
pub async fn postgres_version(config: &EmbeddedConfig, data_dir: &Path) -> Result<u32, EmbeddedError> {
    Programs::find(config, &data_dir.join("postgres")).await?.major_version().await
}

/// Returns the bytes that an unprivileged user may still write where `data_dir` is, or would be made.
pub fn free_bytes(data_dir: &Path) -> Result<u64, EmbeddedError> {
    let absolute = std::path::absolute(data_dir).map_err(EmbeddedError::io(data_dir))?;
    let existing = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let space = statvfs(existing).map_err(|errno| EmbeddedError::io(existing)(errno.into()))?;
    Ok(space.blocks_available() * space.fragment_size())
}
