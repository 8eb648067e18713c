//! Supervised processes of the roles: one that dies is started again, on the same port, with the next seed.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use filesys::config::faults::Point;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Services, Setup};
use crate::load::dice::Dice;
use crate::proxy::Ports;
use crate::support::{eventually, holds};

/// Interval of the supervisor.
const INTERVAL: Duration = Duration::from_millis(20);
/// Longest delay before a restart.
const MAX_RESTART_DELAY: Duration = Duration::from_secs(1);
/// Time after which a stopped process is woken: its group session has ended by then.
const WAKE_AFTER: Duration = Duration::from_secs(8);
/// Time limit of an orderly end, well past `SHUTDOWN_TIMEOUT`.
pub const STOP_LIMIT: Duration = Duration::from_secs(20);

pub struct Roles {
    pub serves: Vec<Role>,
    pub workers: Vec<Role>,
    _ports: Vec<Ports>,
    addresses: Vec<String>,
}

/// Process of one role. Dropping it kills it.
pub struct Role {
    pub name: String,
    pub log: PathBuf,
    shared: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    dice: Dice,
    /// Spacing of the setup's crashes.
    spacing: usize,
    starts: u64,
    child: Option<Child>,
    start_at: Option<Instant>,
    asked_to_end: bool,
    stopped_since: Option<Instant>,
    /// By SIGKILL.
    kills: u64,
    woken: u64,
    complaints: Vec<String>,
}

impl Roles {
    pub async fn start(setup: &Setup, services: &Services, folder: &Path) -> Self {
        let env = [services.settings(), setup.settings.clone()].concat();
        migrate(&setup.program, &env, folder).await;
        let ports: Vec<Ports> = (0..setup.serves).map(|_| Ports::reserve()).collect();
        let role = |name: String, kind: &str, number: usize, more: &[(&str, String)]| {
            let more = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let env = env.iter().cloned().chain(more).collect();
            let dice = Dice::new(setup.seed, 1000 + u64::try_from(number).unwrap_or_default());
            Role::start(&name, &setup.program, kind, env, (folder, dice, setup.crash_every))
        };
        let serves = ports.iter().enumerate().map(|(number, port)| {
            role(format!("serve-{number}"), "serve", number, &[("PORT", port.first.to_string())])
        });
        let serves: Vec<Role> = serves.collect();
        let workers =
            (0..setup.workers).map(|number| role(format!("worker-{number}"), "worker", 100 + number, &[]));
        let workers = workers.collect();
        let addresses: Vec<String> =
            ports.iter().map(|port| format!("http://127.0.0.1:{}", port.first)).collect();
        let roles = Self { serves, workers, _ports: ports, addresses };
        roles.ready().await;
        roles
    }

    pub fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    pub fn all(&self) -> impl Iterator<Item = &Role> {
        self.serves.iter().chain(&self.workers)
    }

    /// Disables crash points from the next start on.
    pub fn crash_no_more(&self) {
        self.all().for_each(|role| role.state().spacing = 0);
    }

    /// Stops restarting roles for good: they are only ended after this.
    pub fn hold_still(&self) {
        self.all().for_each(|role| {
            // It would wake and start them again.
            role.task.abort();
            role.signal(Signal::SIGSTOP);
        });
    }

    /// Waits until every serve is ready.
    pub async fn ready(&self) {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        for address in &self.addresses {
            eventually(&format!("{address} is ready"), async || {
                let answer = client.get(format!("{address}/readyz")).send().await;
                let answer = answer.map_err(|error| error.to_string())?;
                let status = answer.status();
                holds(status.is_success(), (status, answer.text().await))
            })
            .await;
        }
    }
}

/// Migrates the database with the program of the setup.
async fn migrate(program: &Path, env: &[(String, String)], folder: &Path) {
    let log = log_file(&folder.join("migrate.log"));
    let run = tokio::process::Command::new(program)
        .arg("migrate")
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .status();
    let status = tokio::time::timeout(Duration::from_mins(1), run).await.expect("migrate ends").unwrap();
    assert!(status.success(), "migrate: {status}, see {}", folder.display());
}

fn log_file(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

impl Role {
    fn start(
        name: &str,
        program: &Path,
        kind: &str,
        env: Vec<(String, String)>,
        (folder, dice, spacing): (&Path, Dice, usize),
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let state = State {
            program: program.to_owned(),
            args: vec![kind.to_owned()],
            env,
            log: log.clone(),
            dice,
            spacing,
            starts: 0,
            child: None,
            start_at: Some(Instant::now()),
            asked_to_end: false,
            stopped_since: None,
            kills: 0,
            woken: 0,
            complaints: Vec::new(),
        };
        let shared = Arc::new(Mutex::new(state));
        let task = tokio::spawn(supervise(Arc::clone(&shared), name.to_owned()));
        Self { name: name.to_owned(), log, shared, task }
    }

    /// Starts another member of its kind with its settings.
    pub fn another(&self, name: &str, folder: &Path) -> Self {
        let (program, args, env, dice) = {
            let mut state = self.state();
            let seed = state.dice.roll();
            (state.program.clone(), state.args.clone(), state.env.clone(), Dice::new(seed, 0))
        };
        Self::start(name, &program, &args[0], env, (folder, dice, 0))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().expect("no holder panics")
    }

    /// Sends a signal; false if the process is not running.
    pub fn signal(&self, signal: Signal) -> bool {
        let mut state = self.state();
        state.asked_to_end |= signal == Signal::SIGTERM;
        state.signal(signal)
    }

    /// Kills the process if it is running.
    pub fn kill9(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends SIGTERM; the supervisor starts it again.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Sets the executable of the next start.
    pub fn use_program(&self, program: &Path) {
        program.clone_into(&mut self.state().program);
    }

    pub fn starts(&self) -> u64 {
        self.state().starts
    }

    /// Waits until it was started once more than `starts` times.
    pub async fn started_since(&self, starts: u64) {
        let until = Instant::now() + STOP_LIMIT;
        while self.starts() == starts && Instant::now() < until {
            sleep(INTERVAL).await;
        }
    }

    pub fn kills(&self) -> u64 {
        self.state().kills
    }

    pub fn woken(&self) -> u64 {
        self.state().woken
    }

    /// Unexpected ends.
    pub fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }

    /// Ends it with SIGTERM, without a restart; returns its unexpected ends.
    pub async fn end(self) -> Vec<String> {
        let asked = Instant::now();
        {
            let mut state = self.state();
            state.start_at = None;
            state.asked_to_end = true;
            state.signal(Signal::SIGCONT);
            state.signal(Signal::SIGTERM);
        }
        self.task.abort();
        while self.still_ends() {
            if asked.elapsed() > STOP_LIMIT {
                let complaint = format!("{} did not end within {STOP_LIMIT:?} of SIGTERM", self.name);
                self.state().complaints.push(complaint);
                break;
            }
            sleep(INTERVAL).await;
        }
        self.complaints()
    }

    fn still_ends(&self) -> bool {
        let mut state = self.state();
        state.reap(&self.name);
        state.child.is_some()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(mut child) = self.state().child.take() {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn supervise(shared: Arc<Mutex<State>>, name: String) {
    loop {
        {
            let mut state = shared.lock().expect("no holder panics");
            if state.reap(&name) {
                let millis = state.dice.below(usize::try_from(MAX_RESTART_DELAY.as_millis()).unwrap_or(1));
                let rest = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
                state.start_at = Some(Instant::now() + rest);
            }
            if state.start_at.is_some_and(|at| at <= Instant::now()) {
                state.start_at = None;
                state.start();
            }
            state.wake();
        }
        sleep(INTERVAL).await;
    }
}

impl State {
    fn start(&mut self) {
        self.starts += 1;
        self.asked_to_end = false;
        let faults = self.faults();
        let child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("FILESYS_FAULTS", [faults, self.more_faults()].join(";"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file(&self.log))
            .spawn();
        self.child = Some(child.expect("the program can be started"));
    }

    /// Crash points of every life, from the settings.
    fn more_faults(&self) -> String {
        let own = self.env.iter().find(|(name, _)| name == "FILESYS_FAULTS");
        own.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// Crash point of this life, in turns.
    fn faults(&mut self) -> String {
        let mut text = format!("seed={}", self.dice.roll() % 1_000_000);
        let points = if self.args[0] == "serve" { &SERVE_POINTS[..] } else { &WORKER_POINTS[..] };
        let turn = usize::try_from(self.starts).unwrap_or_default() + self.dice.below(2);
        let (point, weight) = points[turn % points.len()];
        if self.spacing > 0 {
            let pass = 1 + self.dice.below((self.spacing * weight / 100).max(1));
            let may_sleep = matches!(point, Point::WorkerFetched | Point::WorkerStored);
            let action = if may_sleep && self.dice.chance(400) {
                // It comes back as a zombie: the session is over by then.
                "stop"
            } else if point == Point::WorkerStoring {
                "kill:10"
            } else {
                "kill"
            };
            let _ = write!(text, ";{}={action}@#{pass}{RARE}", point.name());
        }
        text
    }

    fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()) else {
            return false;
        };
        // Not reaped yet, so the number is still its own.
        kill(Pid::from_raw(pid), signal).is_ok()
    }

    /// Tells whether the process has ended since the last call.
    fn reap(&mut self, name: &str) -> bool {
        let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) else {
            return false;
        };
        self.child = None;
        self.stopped_since = None;
        if status.signal() == Some(Signal::SIGKILL as i32) {
            self.kills += 1;
        } else if !(self.asked_to_end && status.success()) {
            self.complaints.push(complaint(name, status));
        }
        true
    }

    /// Wakes a process that stopped itself a while ago.
    fn wake(&mut self) {
        if !self.is_stopped() {
            self.stopped_since = None;
        } else if self.stopped_since.get_or_insert_with(Instant::now).elapsed() > WAKE_AFTER {
            self.woken += 1;
            self.stopped_since = None;
            self.signal(Signal::SIGCONT);
        }
    }

    fn is_stopped(&self) -> bool {
        let Some(child) = &self.child else { return false };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }
}

fn complaint(name: &str, status: ExitStatus) -> String {
    format!("{name} ended unexpectedly: {status}")
}

/// Crash points that are passed too seldom to wait for one of them.
const RARE: &str = ";worker.failed=kill@0.03;dead_letter.published=kill@0.03;dead_letters.stored=kill@0.05;\
     object.removed=kill@0.03;worker.generated=panic@0.002";

/// Crash points of workers, and how often each is passed, in percent of a worker's requests.
const WORKER_POINTS: [(Point, usize); 7] = [
    (Point::WorkerFetched, 100),
    (Point::WorkerGenerated, 100),
    (Point::WorkerStoring, 100),
    (Point::WorkerStored, 100),
    (Point::WorkerPublished, 100),
    (Point::ConsumerCommitting, 30),
    (Point::ConsumerCommitted, 30),
];

const SERVE_POINTS: [(Point, usize); 7] = [
    (Point::ServeInserted, 60),
    (Point::ServeCommitted, 80),
    (Point::RelayPublished, 60),
    (Point::TransitionsWritten, 40),
    (Point::ResultsRecorded, 40),
    (Point::ConsumerCommitting, 30),
    (Point::ConsumerCommitted, 30),
];
