//! What clients do to their files later: cancel, delete, retry, ask once more. A few at a time, each when it is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Pauses, Record};
use super::dice::Dice;
use super::journal::By;
use super::request::{Later, Request};

/// Who looks after them, all requests together.
pub const FOLLOWERS: u64 = 4;
/// Between two looks at a file that isn't there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(1500);
const IDLE: Duration = Duration::from_millis(50);

/// What is still to be done, and when.
#[derive(Default)]
pub struct Chores(Mutex<BinaryHeap<Reverse<Chore>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Chore {
    due: Instant,
    number: u64,
    id: i64,
    /// The second half of what has two.
    is_second: bool,
}

impl Chores {
    /// The request was accepted as this file.
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
        self.push(Chore { due, number: request.number, id, is_second: false });
    }

    fn push(&self, chore: Chore) {
        self.0.lock().expect("no follower panics").push(Reverse(chore));
    }

    /// Due by now.
    fn pop(&self) -> Option<Chore> {
        let mut chores = self.0.lock().expect("no follower panics");
        let Reverse(first) = chores.peek()?;
        if first.due > Instant::now() {
            return None;
        }
        chores.pop().map(|Reverse(chore)| chore)
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().expect("no follower panics").is_empty()
    }

    /// Forgets what was not begun.
    pub fn clear(&self) {
        self.0.lock().expect("no follower panics").clear();
    }
}

/// Does chores until `done`.
pub async fn follow(client: &Client, chores: &Chores, follower: u64, done: CancellationToken) {
    while !done.is_cancelled() {
        match chores.pop() {
            Some(chore) => Following { client, chores, chore, follower }.step().await,
            None => sleep(IDLE).await,
        }
    }
}

struct Following<'a> {
    client: &'a Client,
    chores: &'a Chores,
    chore: Chore,
    follower: u64,
}

impl Following<'_> {
    async fn step(self) {
        let request = Request::of(self.client.seed, self.chore.number);
        let Some(later) = request.later else { return };
        match later {
            Later::Cancel => drop(self.act(By::Cancel).await),
            Later::Delete => drop(self.act(By::Delete).await),
            Later::CancelThenRetry if self.chore.is_second => drop(self.act(By::Retry).await),
            Later::CancelThenRetry => {
                if self.act(By::Cancel).await == Some(202) {
                    self.come_back(true);
                }
            }
            Later::DeleteWhenCompleted => {
                self.once_terminal("completed", By::Delete).await;
            }
            Later::RetryIfFailed => self.once_terminal("failed", By::Retry).await,
            Later::AskAgain => drop(self.client.ask_once(&request, u32::MAX).await),
            Later::ReuseKey => drop(self.client.ask(&request.with_its_key(), &mut self.pauses()).await),
        }
    }

    async fn act(&self, by: By) -> Option<u16> {
        self.client.act(self.chore.number, self.chore.id, by, &mut self.pauses()).await
    }

    async fn once_terminal(&self, wanted: &str, by: By) {
        let serve = self.client.http.serve(self.follower);
        match self.client.look(self.chore.id, serve).await {
            Some(Record { status, .. }) if status == wanted => drop(self.act(by).await),
            Some(Record { status, .. }) if status == "pending" || status == "processing" => {
                self.come_back(false);
            }
            None => self.come_back(false),
            Some(_) => {}
        }
    }

    fn come_back(&self, is_second: bool) {
        let due = Instant::now() + if is_second { LOOK_AGAIN / 5 } else { LOOK_AGAIN };
        self.chores.push(Chore { due, is_second, ..self.chore });
    }

    fn pauses(&self) -> Pauses {
        Pauses::new(Dice::new(self.client.seed, self.chore.number ^ (1 << 51)))
    }
}
