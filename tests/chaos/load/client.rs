//! Client of the load: write down, send, write down the answer, and again until it is clear.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use tokio::time::sleep;

use super::counts::Tally;
use super::dice::Dice;
use super::journal::{By, Journal, Said, Step};
use super::request::Request;

/// Time limit of one sending: a proxy that is silent must end it.
const LIMIT: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Time limit for a clear answer. A service that is away for longer is taken to be gone for good.
const PATIENCE: Duration = Duration::from_mins(10);

/// What the API says of a file; the rest of the record is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    pub id: i64,
    pub title: String,
    pub description: Option<String>,
    pub status: String,
    pub created_at: String,
    pub attempt: i32,
    pub size: Option<u64>,
    pub sha256: Option<String>,
}

/// A sending's answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub said: Said,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is(&self, status: u16) -> bool {
        self.said.status == Some(status)
    }

    /// It can't get any clearer.
    fn is_clear(&self) -> bool {
        self.said.status.is_some_and(|status| status < 500 && status != 408)
    }

    pub fn record(&self) -> Option<Record> {
        serde_json::from_slice(&self.body).ok()
    }

    pub fn code(&self) -> &str {
        self.said.why.as_deref().unwrap_or_default()
    }
}

/// Connections to every serve.
pub struct Http {
    addresses: Vec<String>,
    client: reqwest::Client,
}

impl Http {
    pub fn new(addresses: &[String]) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(LIMIT)
            .connect_timeout(CONNECT)
            .build()
            .expect("a client without TLS");
        let addresses = addresses.iter().map(|address| address.trim_end_matches('/').to_owned()).collect();
        Self { addresses, client }
    }

    /// Which serve is meant by a number that only grows.
    pub fn serve(&self, turn: u64) -> usize {
        let turn = turn % u64::try_from(self.addresses.len()).unwrap_or(1).max(1);
        usize::try_from(turn).unwrap_or_default()
    }

    pub fn request(&self, method: Method, serve: usize, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.addresses[serve]))
    }

    pub async fn send(request: RequestBuilder) -> Answer {
        let silent = |error: reqwest::Error| {
            let why = if error.is_timeout() { "timed out".to_owned() } else { chain(&error) };
            Answer { said: Said { status: None, why: Some(why) }, body: Vec::new() }
        };
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return silent(error),
        };
        let status = answer.status().as_u16();
        match answer.bytes().await {
            Ok(body) => {
                let why = (status >= 400).then(|| code(&body));
                Answer { said: Said { status: Some(status), why }, body: body.to_vec() }
            }
            // Cut in the middle: what the rest would have been is not known.
            Err(error) => silent(error),
        }
    }
}

/// Returns the code of a problem document.
fn code(body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    problem["code"].as_str().unwrap_or("no problem document").to_owned()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

/// Everything that a client needs.
pub struct Client {
    pub http: Http,
    pub journal: Journal,
    pub tally: Mutex<Tally>,
    pub seed: u64,
}

impl Client {
    /// The record, once it was accepted; `None` when it was refused or nobody knows.
    pub async fn ask(&self, request: &Request, pauses: &mut Pauses) -> Option<Record> {
        self.tally(Tally::begun);
        let mut send = 1;
        loop {
            let answer = self.ask_once(request, send).await;
            let may_repeat = request.key.is_some() || !request.is_good();
            if answer.is_clear() || !may_repeat || pauses.are_over() {
                self.tally(|tally| tally.ended(answer.said.status));
                return answer.record().filter(|_| answer.is(201));
            }
            sleep(pauses.next()).await;
            send += 1;
        }
    }

    /// Sends it, for the so manieth time.
    pub async fn ask_once(&self, request: &Request, send: u32) -> Answer {
        let serve = self.http.serve(request.number + u64::from(send));
        let step = if send == 1 {
            Step::Ask {
                serve,
                key: request.key.clone(),
                title: request.title.clone(),
                description: request.description.clone(),
                good: request.is_good(),
            }
        } else {
            Step::AskAgain { serve }
        };
        self.journal.write(request.number, send, step);
        let mut post = self.http.request(Method::POST, serve, "/files");
        if let Some(key) = &request.key {
            post = post.header("Idempotency-Key", key);
        }
        let sent = Instant::now();
        let answer = Http::send(post.header("Content-Type", "application/json").body(request.body())).await;
        if request.is_good() {
            self.tally(|tally| tally.posted(answer.said.status, sent.elapsed()));
        }
        let accepted = answer.is(201);
        let record = answer.record().filter(|_| accepted);
        let wrong = accepted.then(|| difference(request, record.as_ref())).flatten();
        let id = record.map(|record| record.id);
        self.journal.write(request.number, send, Step::Answer { said: answer.said.clone(), id, wrong });
        answer
    }

    /// The status that a person's move was answered with, once that is clear.
    pub async fn act(&self, number: u64, id: i64, by: By, pauses: &mut Pauses) -> Option<u16> {
        let (method, path) = match by {
            By::Cancel => (Method::POST, format!("/files/{id}/cancel")),
            By::Retry => (Method::POST, format!("/files/{id}/retry")),
            By::Delete => (Method::DELETE, format!("/files/{id}")),
        };
        let mut send = 1;
        loop {
            let serve = self.http.serve(number + u64::from(send));
            self.journal.write(number, send, Step::Move { serve, id, by });
            let answer = Http::send(self.http.request(method.clone(), serve, &path)).await;
            self.journal.write(number, send, Step::Moved { id, by, said: answer.said.clone() });
            if answer.is_clear() {
                return answer.said.status;
            }
            if pauses.are_over() {
                return None;
            }
            sleep(pauses.next()).await;
            send += 1;
        }
    }

    /// The record as it is now, if somebody answers.
    pub async fn look(&self, id: i64, serve: usize) -> Option<Record> {
        let answer = Http::send(self.http.request(Method::GET, serve, &format!("/files/{id}"))).await;
        answer.record().filter(|_| answer.is(200))
    }

    fn tally(&self, note: impl FnOnce(&mut Tally)) {
        note(&mut self.tally.lock().expect("no counter panics"));
    }
}

fn difference(request: &Request, record: Option<&Record>) -> Option<String> {
    let Some(record) = record else { return Some("201 without a record".to_owned()) };
    // Deleted meanwhile, and with that erased.
    if record.status == "deleted" && record.title == "(deleted)" && record.description.is_none() {
        return None;
    }
    if record.title != request.title {
        return Some(format!("the title is {:?}", record.title));
    }
    if record.description != request.description {
        let length = record.description.as_ref().map(String::len);
        return Some(format!("the description differs, of {length:?} bytes"));
    }
    (record.id < 1 || record.attempt < 1).then(|| format!("{record:?}"))
}

/// Between two sendings: exponential with jitter, up to a point.
pub struct Pauses {
    next: Duration,
    since: Instant,
    dice: Dice,
}

impl Pauses {
    pub fn new(dice: Dice) -> Self {
        Self { next: FIRST_WAIT, since: Instant::now(), dice }
    }

    fn next(&mut self) -> Duration {
        let wait = self.dice.jitter(self.next);
        self.next = (self.next * 2).min(LONGEST_WAIT);
        wait
    }

    fn are_over(&self) -> bool {
        self.since.elapsed() > PATIENCE
    }
}
