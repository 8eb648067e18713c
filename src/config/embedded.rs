//! Where the embedded services find the programs they run.

use std::path::PathBuf;

use super::Env;

#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The directory of PostgreSQL's server programs. `None`: looked for in the usual places.
    pub postgres_bin: Option<PathBuf>,
    /// The directories of `PATH`.
    pub path: Vec<PathBuf>,
}

impl EmbeddedConfig {
    pub fn read(env: &mut Env) -> Self {
        let path = env.text(&["PATH"]).unwrap_or_default();
        Self {
            postgres_bin: env.text(&["PG_BIN"]).map(PathBuf::from),
            path: std::env::split_paths(&path).collect(),
        }
    }
}
