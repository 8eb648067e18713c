//! Cache of serialised lists: each is written once after a change, not once for each client that asks for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use super::json_response::Json;
use crate::domain::Result;

/// Maximum number of lists in the cache.
const MAX_ENTRIES: usize = 64;
/// Maximum size of a list in the cache.
const MAX_ENTRY_BYTES: usize = 256 << 10;

/// JSON by request, with the value that it was made from.
pub(super) struct JsonCache<Q, T>(Mutex<HashMap<Q, (Arc<T>, Json)>>);

impl<Q, T> Default for JsonCache<Q, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: Clone + Eq + Hash, T> JsonCache<Q, T> {
    /// Returns the JSON of the value that answers the request, and calls `serialise` if the cache has another value.
    pub fn get(
        &self,
        request: &Q,
        value: &Arc<T>,
        serialise: impl FnOnce(&T) -> Result<Json>,
    ) -> Result<Json> {
        let cached = |entries: &HashMap<Q, (Arc<T>, Json)>| {
            entries
                .get(request)
                .filter(|(made_from, _)| Arc::ptr_eq(made_from, value))
                .map(|(_, json)| json.clone())
        };
        if let Some(json) = cached(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(json);
        }
        // Without the lock: serialising takes much longer than looking up, and two threads that do it at once do no harm.
        let json = serialise(value)?;
        if json.body.len() <= MAX_ENTRY_BYTES {
            let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if entries.len() >= MAX_ENTRIES {
                // Entries of old values pile up as the list changes: clearing all is simpler than finding them, and costs each list
                // one serialisation.
                entries.clear();
            }
            entries.insert(request.clone(), (Arc::clone(value), json.clone()));
        }
        Ok(json)
    }
}
