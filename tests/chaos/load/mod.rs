//! The clients: a closed loop of journaled requests, and readers that check what the service shows.

pub mod client;
pub mod counts;
pub mod dice;
mod followers;
pub mod journal;
pub mod request;
pub mod watch;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::client::{Backoff, Client, Http, Record};
pub use self::counts::Counts;
use self::counts::Tally;
use self::dice::Dice;
use self::followers::FollowUps;
use self::journal::Journal;
use self::request::Request;

/// Requests to send, to which addresses, and how fast.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `http://host:port` of each serve.
    pub addresses: Vec<String>,
    /// Files asked for, bad requests included; repetitions, cancels, deletes and retries come on top.
    pub requests: u64,
    /// Clients at once; each waits for its answer before it asks again.
    pub concurrency: usize,
    /// New requests per second, of all clients together. `None`: as fast as they are answered.
    pub rate: Option<u32>,
    /// Seed of the load: with it, the number of a request decides its content and what is done to its file. Loads that
    /// share a journal or a database must have different ones.
    pub seed: u64,
    /// File that is appended to.
    pub journal: PathBuf,
}

/// Time for the follow-ups that are left once all files are requested.
const FOLLOW_UP_LIMIT: Duration = Duration::from_mins(1);

/// Running clients. Dropping it aborts them.
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
    followers: JoinSet<()>,
    followers_done: CancellationToken,
    _end: DropGuard,
}

struct Shared {
    plan: Plan,
    client: Client,
    next: AtomicU64,
    follow_ups: FollowUps,
    accepted: RwLock<Vec<Accepted>>,
    pace: tokio::sync::Mutex<tokio::time::Instant>,
    stop: CancellationToken,
}

/// A request that was answered 201.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub number: u64,
    pub id: i64,
    pub created_at: String,
}

impl Load {
    /// Starts the clients. After `stop` no new request begins; those in flight are repeated until their answer is clear.
    pub fn start(plan: Plan, stop: CancellationToken) -> Self {
        let client = Client {
            http: Http::new(&plan.addresses),
            journal: Journal::open(&plan.journal, plan.seed),
            tally: Mutex::new(Tally::start()),
            seed: plan.seed,
        };
        let shared = Arc::new(Shared {
            client,
            next: AtomicU64::new(0),
            follow_ups: FollowUps::default(),
            accepted: RwLock::default(),
            pace: tokio::sync::Mutex::new(tokio::time::Instant::now()),
            plan,
            stop,
        });
        let followers_done = CancellationToken::new();
        let mut clients = JoinSet::new();
        for _ in 0..shared.plan.concurrency {
            let shared = Arc::clone(&shared);
            clients.spawn(async move { shared.ask_until_stopped().await });
        }
        let mut followers = JoinSet::new();
        for follower in 0..followers::FOLLOWERS {
            let (shared, done) = (Arc::clone(&shared), followers_done.clone());
            followers.spawn(async move {
                followers::follow(&shared.client, &shared.follow_ups, follower, done).await;
            });
        }
        let end = followers_done.clone().drop_guard();
        Self { shared, clients, followers, followers_done, _end: end }
    }

    /// Counts so far.
    pub fn counts(&self) -> Counts {
        self.shared.client.tally.lock().expect("no counter panics").counts()
    }

    /// Tells whether every request has its answer, or none will begin and those under way have theirs.
    pub fn is_done(&mut self) -> bool {
        while self.clients.try_join_next().is_some() {}
        self.clients.is_empty()
    }

    /// Waits until every request has its answer and the follow-ups are done, at most a minute after the last answer.
    ///
    /// # Panics
    /// When a client did.
    pub async fn finish(mut self) -> Counts {
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("clients don't panic");
        }
        let until = Instant::now() + FOLLOW_UP_LIMIT;
        while !self.shared.follow_ups.is_empty() && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
        self.shared.follow_ups.clear();
        self.followers_done.cancel();
        while let Some(ended) = self.followers.join_next().await {
            ended.expect("followers don't panic");
        }
        self.counts()
    }
}

impl Shared {
    async fn ask_until_stopped(&self) {
        loop {
            if self.stop.run_until_cancelled(self.turn()).await.is_none() {
                return;
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.plan.requests {
                return;
            }
            let request = Request::of(self.plan.seed, number);
            let mut backoff = Backoff::new(Dice::new(self.plan.seed, number ^ (1 << 52)));
            if let Some(Record { id, created_at, .. }) = self.client.ask(&request, &mut backoff).await {
                self.accepted.write().expect("no client panics").push(Accepted { number, id, created_at });
                self.follow_ups.add(self.plan.seed, &request, id);
            }
        }
    }

    /// Waits until the rate allows the next request.
    async fn turn(&self) {
        let Some(rate) = self.plan.rate.filter(|rate| *rate > 0) else { return };
        let mut next = self.pace.lock().await;
        sleep_until(*next).await;
        // A stall is not followed by a burst.
        *next = (*next).max(tokio::time::Instant::now() - Duration::from_millis(100))
            + Duration::from_secs(1) / rate;
    }
}
