//! Receipt of a record on its way.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::{BrokerError, Position};

/// Future that resolves, within a bounded time, to the outcome of publishing a record. `Ok` means that all in-sync
/// replicas have stored it; after an error it may have been stored all the same. Dropping the receipt cancels a record
/// that is not sent yet.
#[derive(Debug)]
pub struct Receipt(State);

#[derive(Debug)]
enum State {
    /// `None` once it was returned.
    Known(Option<Result<Position, BrokerError>>),
    Waiting(oneshot::Receiver<Result<Position, BrokerError>>),
}

impl Receipt {
    /// Makes the receipt of a record whose outcome is known already.
    pub const fn known(outcome: Result<Position, BrokerError>) -> Self {
        Self(State::Known(Some(outcome)))
    }

    /// Makes the receipt of a record whose outcome comes by this channel; a closed one means that the publisher's task
    /// has ended.
    pub const fn waiting(outcome: oneshot::Receiver<Result<Position, BrokerError>>) -> Self {
        Self(State::Waiting(outcome))
    }
}

impl Future for Receipt {
    type Output = Result<Position, BrokerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = || Err(BrokerError::Unavailable("the publishing task ended".to_owned()));
        match &mut self.0 {
            State::Known(outcome) => Poll::Ready(outcome.take().unwrap_or_else(ended)),
            State::Waiting(outcome) => {
                Pin::new(outcome).poll(context).map(|outcome| outcome.unwrap_or_else(|_| ended()))
            }
        }
    }
}
