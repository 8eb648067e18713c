//! Client of the load: journals a request, sends it, journals the answer, and repeats until the answer is clear.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use tokio::time::sleep;

use super::counts::Tally;
use super::dice::Dice;
use super::journal::{Action, Journal, Response, Step};
use super::request::Request;

/// Time limit of one sending: a proxy that is silent must end it.
const LIMIT: Duration = Duration::from_secs(15);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Time limit for a clear answer. A service that is unavailable for longer counts as lost.
const GIVE_UP_AFTER: Duration = Duration::from_mins(10);

/// File as the API shows it; other members are ignored.
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

/// Answer to one HTTP request.
#[derive(Debug)]
pub struct Answer {
    pub response: Response,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is(&self, status: u16) -> bool {
        self.response.status == Some(status)
    }

    /// Tells whether the outcome is known: no time-out and no server error.
    fn is_clear(&self) -> bool {
        self.response.status.is_some_and(|status| status < 500 && status != 408)
    }

    pub fn record(&self) -> Option<Record> {
        serde_json::from_slice(&self.body).ok()
    }

    pub fn code(&self) -> &str {
        self.response.why.as_deref().unwrap_or_default()
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
            .redirect(reqwest::redirect::Policy::none())
            .timeout(LIMIT)
            .connect_timeout(CONNECT_LIMIT)
            .build()
            .expect("a client without TLS");
        let addresses = addresses.iter().map(|address| address.trim_end_matches('/').to_owned()).collect();
        Self { addresses, client }
    }

    /// Index of the serve that a growing number means, in turns.
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
            Answer { response: Response { status: None, why: Some(why) }, body: Vec::new() }
        };
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return silent(error),
        };
        let status = answer.status().as_u16();
        match answer.bytes().await {
            Ok(body) => {
                let why = (status >= 400).then(|| code(&body));
                Answer { response: Response { status: Some(status), why }, body: body.to_vec() }
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

/// Connections, journal and counters that the clients share.
pub struct Client {
    pub http: Http,
    pub journal: Journal,
    pub tally: Mutex<Tally>,
    pub seed: u64,
}

impl Client {
    /// Posts a request until its answer is clear. Returns the record if it was accepted.
    pub async fn ask(&self, request: &Request, backoff: &mut Backoff) -> Option<Record> {
        self.tally(Tally::begun);
        let mut send = 1;
        loop {
            let answer = self.ask_once(request, send).await;
            let may_repeat = request.key.is_some() || !request.is_good();
            if answer.is_clear() || !may_repeat || backoff.is_over() {
                self.tally(|tally| tally.ended(answer.response.status));
                return answer.record().filter(|_| answer.is(201));
            }
            sleep(backoff.next()).await;
            send += 1;
        }
    }

    /// Posts a request once; `send` is the number of the attempt.
    pub async fn ask_once(&self, request: &Request, send: u32) -> Answer {
        let serve = self.http.serve(request.number + u64::from(send));
        let step = if send == 1 {
            Step::Send {
                serve,
                key: request.key.clone(),
                title: request.title.clone(),
                description: request.description.clone(),
                good: request.is_good(),
            }
        } else {
            Step::Resend { serve }
        };
        self.journal.write(request.number, send, step);
        let mut post = self.http.request(Method::POST, serve, "/files");
        if let Some(key) = &request.key {
            post = post.header("Idempotency-Key", key);
        }
        let sent = Instant::now();
        let answer = Http::send(post.header("Content-Type", "application/json").body(request.body())).await;
        if request.is_good() {
            self.tally(|tally| tally.posted(answer.response.status, sent.elapsed()));
        }
        let accepted = answer.is(201);
        let record = answer.record().filter(|_| accepted);
        let wrong = accepted.then(|| difference(request, record.as_ref())).flatten();
        let id = record.map(|record| record.id);
        self.journal.write(
            request.number,
            send,
            Step::Answer { response: answer.response.clone(), id, wrong },
        );
        answer
    }

    /// Requests an action until its answer is clear, and returns the status.
    pub async fn act(&self, number: u64, id: i64, action: Action, backoff: &mut Backoff) -> Option<u16> {
        let (method, path) = match action {
            Action::Cancel => (Method::POST, format!("/files/{id}/cancel")),
            Action::Retry => (Method::POST, format!("/files/{id}/retry")),
            Action::Delete => (Method::DELETE, format!("/files/{id}")),
        };
        let mut send = 1;
        loop {
            let serve = self.http.serve(number + u64::from(send));
            self.journal.write(number, send, Step::Action { serve, id, action });
            let answer = Http::send(self.http.request(method.clone(), serve, &path)).await;
            self.journal.write(
                number,
                send,
                Step::ActionAnswer { id, action, response: answer.response.clone() },
            );
            if answer.is_clear() {
                return answer.response.status;
            }
            if backoff.is_over() {
                return None;
            }
            sleep(backoff.next()).await;
            send += 1;
        }
    }

    /// Reads a record, if the service answers.
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
    // Deleting a file erases its texts.
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

/// Exponential backoff with jitter between two requests.
pub struct Backoff {
    next: Duration,
    since: Instant,
    dice: Dice,
}

impl Backoff {
    pub fn new(dice: Dice) -> Self {
        Self { next: FIRST_BACKOFF, since: Instant::now(), dice }
    }

    fn next(&mut self) -> Duration {
        let wait = self.dice.jitter(self.next);
        self.next = (self.next * 2).min(MAX_BACKOFF);
        wait
    }

    fn is_over(&self) -> bool {
        self.since.elapsed() > GIVE_UP_AFTER
    }
}
