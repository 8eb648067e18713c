//! What every handler shares.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::budget::{Budget, INPUT_LIMIT, OUTPUT_LIMIT};
use super::connection::Limits;
use super::lists::Lists;
use super::outer::OuterAddress;
use super::tally::Tally;
use crate::actions::ServeContext;
use crate::domain::{Error, Result};

pub struct AppState {
    pub ctx: ServeContext,
    /// Runtime of the process, not of one HTTP thread.
    pub(super) runtime: Handle,
    /// Set when the process is on its way out.
    pub(super) stopping: CancellationToken,
    pub(super) lists: Lists,
    /// Memory for what clients are sending, and for what they have not read yet.
    pub(super) input: Arc<Budget>,
    pub(super) output: Arc<Budget>,
    /// What clients did wrong.
    pub tally: Arc<Tally>,
    pub(super) outer: OuterAddress,
}

impl AppState {
    pub fn new(ctx: ServeContext, runtime: Handle, stopping: CancellationToken, outer: OuterAddress) -> Self {
        Self {
            ctx,
            runtime,
            stopping,
            lists: Lists::default(),
            input: Arc::new(Budget::new(INPUT_LIMIT)),
            output: Arc::new(Budget::new(OUTPUT_LIMIT)),
            tally: Arc::default(),
            outer,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            input: Arc::clone(&self.input),
            output: Arc::clone(&self.output),
            tally: Arc::clone(&self.tally),
            stopping: self.stopping.clone(),
        }
    }

    /// Runs a verb on the process's runtime: connections opened there outlive an HTTP thread, and a client that
    /// hangs up cuts no transaction in half.
    pub async fn run<T, F>(&self, verb: impl FnOnce(ServeContext) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let task = self.runtime.spawn(verb(self.ctx.clone()));
        task.await.unwrap_or_else(|error| Err(Error::internal("the request failed").because(error)))
    }
}
