//! Follow-ups of accepted requests: cancel, delete, retry, repeat. A few at a time, each when it is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::{Backoff, Client, Record};
use super::dice::Dice;
use super::journal::Action;
use super::request::{Later, Request};

/// Number of tasks that do follow-ups.
pub const FOLLOWERS: u64 = 4;
/// Interval of looks at a file that is not terminal yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(1500);
const IDLE: Duration = Duration::from_millis(50);

/// Follow-ups by the time at which they are due.
#[derive(Default)]
pub struct FollowUps(Mutex<BinaryHeap<Reverse<FollowUp>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FollowUp {
    due: Instant,
    number: u64,
    id: i64,
    /// True if it is the second step, such as the retry after a cancel.
    is_second: bool,
}

impl FollowUps {
    /// Schedules the follow-up of an accepted request.
    pub fn add(&self, seed: u64, request: &Request, id: i64) {
        let Some(later) = request.later else { return };
        let mut dice = Dice::new(seed, request.number ^ (1 << 50));
        let wait = match later {
            // Some at once, some while it is being made, some after.
            Later::Cancel | Later::CancelThenRetry | Later::Delete => dice.below(300),
            Later::AskAgain | Later::ReuseKey => dice.below(3_000),
            Later::DeleteWhenCompleted | Later::RetryIfFailed => dice.between(500, 3_000),
        };
        let due = Instant::now() + Duration::from_millis(u64::try_from(wait).unwrap_or_default());
        self.push(FollowUp { due, number: request.number, id, is_second: false });
    }

    fn push(&self, follow_up: FollowUp) {
        self.0.lock().expect("no follower panics").push(Reverse(follow_up));
    }

    /// Takes a follow-up that is due.
    fn pop(&self) -> Option<FollowUp> {
        let mut follow_ups = self.0.lock().expect("no follower panics");
        let Reverse(first) = follow_ups.peek()?;
        if first.due > Instant::now() {
            return None;
        }
        follow_ups.pop().map(|Reverse(follow_up)| follow_up)
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().expect("no follower panics").is_empty()
    }

    /// Drops those that have not begun.
    pub fn clear(&self) {
        self.0.lock().expect("no follower panics").clear();
    }
}

/// Does follow-ups when they are due, until `done`.
pub async fn follow(client: &Client, follow_ups: &FollowUps, follower: u64, done: CancellationToken) {
    while !done.is_cancelled() {
        match follow_ups.pop() {
            Some(follow_up) => Following { client, follow_ups, follow_up, follower }.step().await,
            None => sleep(IDLE).await,
        }
    }
}

struct Following<'a> {
    client: &'a Client,
    follow_ups: &'a FollowUps,
    follow_up: FollowUp,
    follower: u64,
}

impl Following<'_> {
    async fn step(self) {
        let request = Request::of(self.client.seed, self.follow_up.number);
        let Some(later) = request.later else { return };
        match later {
            Later::Cancel => drop(self.act(Action::Cancel).await),
            Later::Delete => drop(self.act(Action::Delete).await),
            Later::CancelThenRetry if self.follow_up.is_second => drop(self.act(Action::Retry).await),
            Later::CancelThenRetry => {
                if self.act(Action::Cancel).await == Some(202) {
                    self.come_back(true);
                }
            }
            Later::DeleteWhenCompleted => {
                self.once_terminal("completed", Action::Delete).await;
            }
            Later::RetryIfFailed => self.once_terminal("failed", Action::Retry).await,
            Later::AskAgain => drop(self.client.ask_once(&request, u32::MAX).await),
            Later::ReuseKey => drop(self.client.ask(&request.with_its_key(), &mut self.backoff()).await),
        }
    }

    async fn act(&self, action: Action) -> Option<u16> {
        self.client.act(self.follow_up.number, self.follow_up.id, action, &mut self.backoff()).await
    }

    async fn once_terminal(&self, wanted: &str, action: Action) {
        let serve = self.client.http.serve(self.follower);
        match self.client.look(self.follow_up.id, serve).await {
            Some(Record { status, .. }) if status == wanted => drop(self.act(action).await),
            Some(Record { status, .. }) if status == "pending" || status == "processing" => {
                self.come_back(false);
            }
            None => self.come_back(false),
            Some(_) => {}
        }
    }

    fn come_back(&self, is_second: bool) {
        let due = Instant::now() + if is_second { LOOK_INTERVAL / 5 } else { LOOK_INTERVAL };
        self.follow_ups.push(FollowUp { due, is_second, ..self.follow_up });
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(Dice::new(self.client.seed, self.follow_up.number ^ (1 << 51)))
    }
}
