//! The clients: a closed loop of requests whose every step is written down, and what they saw of the service.

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

use self::client::{Client, Http, Pauses, Record};
pub use self::counts::Counts;
use self::counts::Tally;
use self::dice::Dice;
use self::followers::Chores;
use self::journal::Journal;
use self::request::Request;

/// What to ask for, of whom, and how fast.
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
    /// What request n looks like and what is done to its file depends on this and n alone. Loads that share a journal
    /// or a database must have different ones.
    pub seed: u64,
    /// Appended to.
    pub journal: PathBuf,
}

/// Time for what is left to be done to the files once all are asked for.
const AFTERWARDS: Duration = Duration::from_mins(1);

/// The clients at work. Dropping it ends them where they are.
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
    chores: Chores,
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
    /// After `stop` no new request begins; those under way are repeated until they have a clear answer.
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
            chores: Chores::default(),
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
                followers::follow(&shared.client, &shared.chores, follower, done).await;
            });
        }
        let end = followers_done.clone().drop_guard();
        Self { shared, clients, followers, followers_done, _end: end }
    }

    /// So far.
    pub fn counts(&self) -> Counts {
        self.shared.client.tally.lock().expect("no counter panics").counts()
    }

    /// Whether every request has its answer, or none will begin and those under way have theirs.
    pub fn is_done(&mut self) -> bool {
        while self.clients.try_join_next().is_some() {}
        self.clients.is_empty()
    }

    /// Waits until every request has its answer and what is to be done to the files is done; what can't be begun
    /// within a minute after the last answer is left out.
    ///
    /// # Panics
    /// When a client did.
    pub async fn finish(mut self) -> Counts {
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("clients don't panic");
        }
        let until = Instant::now() + AFTERWARDS;
        while !self.shared.chores.is_empty() && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
        self.shared.chores.clear();
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
            let mut pauses = Pauses::new(Dice::new(self.plan.seed, number ^ (1 << 52)));
            if let Some(Record { id, created_at, .. }) = self.client.ask(&request, &mut pauses).await {
                self.accepted.write().expect("no client panics").push(Accepted { number, id, created_at });
                self.chores.add(self.plan.seed, &request, id);
            }
        }
    }

    /// When the next request may begin.
    async fn turn(&self) {
        let Some(rate) = self.plan.rate.filter(|rate| *rate > 0) else { return };
        let mut next = self.pace.lock().await;
        sleep_until(*next).await;
        // Time that was missed is not made up for.
        *next = (*next).max(tokio::time::Instant::now() - Duration::from_millis(100))
            + Duration::from_secs(1) / rate;
    }
}
