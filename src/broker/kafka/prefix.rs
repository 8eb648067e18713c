//! Prefix of every topic's and group's name in the cluster; the rest of the program never sees it.

use std::sync::Arc;

/// Prefix of names in the cluster; it may be empty.
#[derive(Debug, Clone)]
pub(super) struct Prefix(Arc<str>);

impl Prefix {
    /// Makes the prefix; an empty one changes no name.
    pub fn new(prefix: &str) -> Self {
        Self(prefix.into())
    }

    /// Returns the name as the cluster knows it.
    pub fn add(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    /// Returns the name without the prefix; `None` for a name that doesn't have it.
    pub fn strip<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&*self.0)
    }
}
