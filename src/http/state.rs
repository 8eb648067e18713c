//! State that all handlers share.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::client_errors::ClientErrors;
use super::connection::Limits;
use super::json_cache::JsonCache;
use super::memory_budget::{MemoryBudget, REQUEST_MEMORY, RESPONSE_MEMORY};
use super::outer::OuterAddress;
use crate::actions::ServeContext;
use crate::domain::{Error, Page, PageRequest, Result};

pub struct AppState {
    pub ctx: ServeContext,
    /// Runtime of the process, not of one HTTP thread.
    pub(super) runtime: Handle,
    /// Cancelled when the process begins to stop.
    pub(super) stopping: CancellationToken,
    pub(super) file_lists: JsonCache<PageRequest, Page>,
    pub(super) request_memory: Arc<MemoryBudget>,
    pub(super) response_memory: Arc<MemoryBudget>,
    pub client_errors: Arc<ClientErrors>,
    pub(super) outer: OuterAddress,
}

impl AppState {
    pub fn new(ctx: ServeContext, runtime: Handle, stopping: CancellationToken, outer: OuterAddress) -> Self {
        Self {
            ctx,
            runtime,
            stopping,
            file_lists: JsonCache::default(),
            request_memory: Arc::new(MemoryBudget::new(REQUEST_MEMORY)),
            response_memory: Arc::new(MemoryBudget::new(RESPONSE_MEMORY)),
            client_errors: Arc::default(),
            outer,
        }
    }

    /// Returns the limits that connections obey.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            request_memory: Arc::clone(&self.request_memory),
            response_memory: Arc::clone(&self.response_memory),
            client_errors: Arc::clone(&self.client_errors),
            stopping: self.stopping.clone(),
        }
    }

    /// Runs a use case on the process's runtime. Connections opened there outlive the HTTP thread, and a transaction is
    /// not aborted half-way when the client hangs up.
    pub async fn run<T, F>(&self, action: impl FnOnce(ServeContext) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let task = self.runtime.spawn(action(self.ctx.clone()));
        task.await.unwrap_or_else(|error| Err(Error::internal("the request failed").because(error)))
    }
}
