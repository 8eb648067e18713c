//! Settings of the embedded services: where they find the programs that they run.

use std::path::PathBuf;

use super::Env;

/// Settings of the embedded services.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Directory of PostgreSQL's server programs; `None` to search the usual places.
    pub postgres_bin: Option<PathBuf>,
    /// Directories of `PATH`.
    pub path: Vec<PathBuf>,
}

impl EmbeddedConfig {
    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        let path = env.text(&["PATH"]).unwrap_or_default();
        Self {
            postgres_bin: env.text(&["PG_BIN"]).map(PathBuf::from),
            path: std::env::split_paths(&path).collect(),
        }
    }
}
