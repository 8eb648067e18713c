//! Lists as they are sent: written once after each change, not once for each client that asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::HttpError;
use super::etag::Json;
use crate::domain::{Page, PageRequest};

/// Lists kept at once, and the bytes of each.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 256 << 10;

/// By what was asked for, with the page that was written.
#[derive(Default)]
pub(super) struct Lists(Mutex<HashMap<PageRequest, (Arc<Page>, Json)>>);

impl Lists {
    /// The JSON of a page that answers the request.
    pub fn json(&self, request: &PageRequest, page: &Arc<Page>) -> Result<Json, HttpError> {
        let kept = |lists: &HashMap<_, (Arc<Page>, Json)>| {
            lists.get(request).filter(|(of, _)| Arc::ptr_eq(of, page)).map(|(_, json)| json.clone())
        };
        if let Some(json) = kept(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(json);
        }
        let json = Json::of(&page.files)?;
        if json.body.len() <= KEPT_BYTES {
            let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if lists.len() >= KEPT {
                lists.clear();
            }
            lists.insert(request.clone(), (Arc::clone(page), json.clone()));
        }
        Ok(json)
    }
}
