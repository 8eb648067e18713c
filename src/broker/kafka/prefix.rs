//! What stands before every topic's and group's name in the cluster; the rest of the program never sees it.

use std::sync::Arc;

/// May be empty.
#[derive(Debug, Clone)]
pub(super) struct Prefix(Arc<str>);

impl Prefix {
    /// Makes the prefix; an empty one changes no name.
    pub fn new(prefix: &str) -> Self {
        Self(prefix.into())
    }

    /// The name as the cluster has it.
    pub fn add(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    /// The name as we have it; `None` if it is somebody else's.
    pub fn strip<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&*self.0)
    }
}
