//! A caller's condition on a change, checked against the locked row in the transaction that changes it.

use crate::domain::Result;

type Check<T> = Box<dyn Fn(&T) -> Result<()> + Send + Sync>;

/// Refuses a change with its error.
pub struct Guard<T>(Option<Check<T>>);

impl<T> Guard<T> {
    pub fn new(check: impl Fn(&T) -> Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(check)))
    }

    /// Lets every change pass.
    pub const fn none() -> Self {
        Self(None)
    }

    pub(super) fn check(&self, value: &T) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |check| check(value))
    }
}
