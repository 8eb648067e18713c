//! Crash points of a process in the chaos tests: where it is killed, stopped or delayed.

use std::str::FromStr;
use std::time::Duration;

use super::Env;

/// Faults of a process. `FILESYS_FAULTS` is for example
/// `seed=7;worker.stored=kill@0.01;serve.committed=delay:200@0.05;relay.published=stop@#3`: an action at a crash point, with a
/// probability or at the n-th pass.
#[derive(Debug, Default)]
pub struct FaultsConfig {
    pub seed: u64,
    pub rules: Vec<Rule>,
}

/// Action at a crash point, and when it fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    pub point: Point,
    pub action: Action,
    pub when: When,
}

/// Action at a crash point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Sends SIGKILL to this process.
    Kill,
    /// Sends SIGKILL after a random part of this time, while the work continues.
    KillWithin(Duration),
    /// Sends SIGSTOP; the test has to continue the process.
    Stop,
    Delay(Duration),
    Panic,
}

/// Passes of a crash point at which its action fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// With this probability, from 0 to 1, at each pass.
    Chance(f64),
    /// At this pass, counted from 1.
    Pass(u64),
}

/// Crash points: steps between two effects that are not atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A file's rows are written, and their transaction is not committed.
    ServeInserted,
    /// The transaction is committed, and the client has no response.
    ServeCommitted,
    /// The broker has the records, and the outbox still has their rows.
    RelayPublished,
    /// The rows of a transition are written and not committed.
    TransitionsWritten,
    /// Results are recorded, and their offsets are not committed.
    ResultsRecorded,
    WorkerFetched,
    WorkerGenerated,
    /// The object is about to be stored.
    WorkerStoring,
    /// The object is stored, and its result is not published.
    WorkerStored,
    /// The result is published, and the offset is not committed.
    WorkerPublished,
    /// A failure is published, and its record is not dead-lettered.
    WorkerFailed,
    ConsumerCommitting,
    ConsumerCommitted,
    /// A dead letter is published, and the offset of its record is not committed.
    DeadLetterPublished,
    /// Dead letters are stored as rows, and their offsets are not committed.
    DeadLettersStored,
    /// An object is removed, and its removal is still requested.
    ObjectRemoved,
    /// The rows of an upload are committed, and no byte of it is stored.
    UploadInserted,
    /// A part is stored, and no row tells.
    UploadPartStored,
    /// The bytes behind the last part are stored, and no row tells.
    UploadTailStored,
    /// The object of an upload is stored, and its file is still `uploading`.
    UploadObjectStored,
    /// The upload is committed, and the client has no response.
    UploadFinished,
}

impl Point {
    /// All crash points.
    pub const ALL: [Self; 21] = [
        Self::ServeInserted,
        Self::ServeCommitted,
        Self::RelayPublished,
        Self::TransitionsWritten,
        Self::ResultsRecorded,
        Self::WorkerFetched,
        Self::WorkerGenerated,
        Self::WorkerStoring,
        Self::WorkerStored,
        Self::WorkerPublished,
        Self::WorkerFailed,
        Self::ConsumerCommitting,
        Self::ConsumerCommitted,
        Self::DeadLetterPublished,
        Self::DeadLettersStored,
        Self::ObjectRemoved,
        Self::UploadInserted,
        Self::UploadPartStored,
        Self::UploadTailStored,
        Self::UploadObjectStored,
        Self::UploadFinished,
    ];

    /// Returns the name in `FILESYS_FAULTS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServeInserted => "serve.inserted",
            Self::ServeCommitted => "serve.committed",
            Self::RelayPublished => "relay.published",
            Self::TransitionsWritten => "transitions.written",
            Self::ResultsRecorded => "results.recorded",
            Self::WorkerFetched => "worker.fetched",
            Self::WorkerGenerated => "worker.generated",
            Self::WorkerStoring => "worker.storing",
            Self::WorkerStored => "worker.stored",
            Self::WorkerPublished => "worker.published",
            Self::WorkerFailed => "worker.failed",
            Self::ConsumerCommitting => "consumer.committing",
            Self::ConsumerCommitted => "consumer.committed",
            Self::DeadLetterPublished => "dead_letter.published",
            Self::DeadLettersStored => "dead_letters.stored",
            Self::ObjectRemoved => "object.removed",
            Self::UploadInserted => "upload.inserted",
            Self::UploadPartStored => "upload.part_stored",
            Self::UploadTailStored => "upload.tail_stored",
            Self::UploadObjectStored => "upload.object_stored",
            Self::UploadFinished => "upload.finished",
        }
    }
}

impl FaultsConfig {
    /// Reads the faults.
    pub fn read(env: &mut Env) -> Self {
        let mut config = Self::default();
        let specification = env.peek("FILESYS_FAULTS").unwrap_or_default().to_owned();
        for part in specification.split(';').filter(|part| !part.is_empty()) {
            let read = match part.split_once('=') {
                Some(("seed", seed)) => seed.parse().map(|seed| config.seed = seed).map_err(drop),
                _ => part.parse().map(|rule| config.rules.push(rule)),
            };
            if read.is_err() {
                env.problem(format!("FILESYS_FAULTS can't be read at {part:?}"));
            }
        }
        config
    }
}

impl FromStr for Rule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (point, what) = text.split_once('=').ok_or(())?;
        let (action, when) = what.split_once('@').ok_or(())?;
        let point = Point::ALL.into_iter().find(|known| known.name() == point).ok_or(())?;
        Ok(Self { point, action: action.parse()?, when: when.parse()? })
    }
}

impl FromStr for Action {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let millis = |text: &str| text.parse().map(Duration::from_millis).map_err(drop);
        match text.split_once(':') {
            None if text == "kill" => Ok(Self::Kill),
            None if text == "stop" => Ok(Self::Stop),
            None if text == "panic" => Ok(Self::Panic),
            Some(("kill", within)) => millis(within).map(Self::KillWithin),
            Some(("delay", time)) => millis(time).map(Self::Delay),
            None | Some(_) => Err(()),
        }
    }
}

impl FromStr for When {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix('#') {
            Some(pass) => pass.parse().ok().filter(|pass| *pass > 0).map(Self::Pass),
            None => text.parse().ok().filter(|chance| (0.0..=1.0).contains(chance)).map(Self::Chance),
        }
        .ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<FaultsConfig, crate::config::ConfigError> {
        let mut env = Env::of(vars.iter().copied());
        let config = FaultsConfig::read(&mut env);
        env.finish().map(|()| config)
    }

    #[test]
    fn a_specification_is_read_in_all_its_parts() {
        let text = "seed=7;worker.stored=kill@0.01;serve.committed=delay:200@1;worker.storing=kill:9@#3";
        let config = read(&[("FILESYS_FAULTS", text)]).unwrap();
        let rule = |point, action, when| Rule { point, action, when };
        let ms = Duration::from_millis;
        assert_eq!(config.seed, 7);
        assert_eq!(
            config.rules,
            [
                rule(Point::WorkerStored, Action::Kill, When::Chance(0.01)),
                rule(Point::ServeCommitted, Action::Delay(ms(200)), When::Chance(1.0)),
                rule(Point::WorkerStoring, Action::KillWithin(ms(9)), When::Pass(3)),
            ]
        );
    }

    #[test]
    fn what_can_not_be_read_is_an_error() {
        for bad in [
            "seed=x",
            "worker.stored",
            "worker.stored=kill",
            "nowhere=kill@1",
            "worker.stored=burn@1",
            "worker.stored=delay@1",
            "worker.stored=kill@2",
            "worker.stored=kill@#0",
        ] {
            assert!(read(&[("FILESYS_FAULTS", bad)]).is_err(), "{bad}");
        }
    }
}
