//! Faults: their kinds, the order that a seed gives them, and the time until work goes on afterwards.

pub mod inject;
pub mod kinds;
pub mod progress;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use kinds::Kind;
use progress::Progress;

use crate::load::dice::Dice;
use crate::stage::Stage;

/// Faults that were injected, and the time until the next file was completed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Done {
    /// Number of times that each kind of fault began.
    pub faults: BTreeMap<&'static str, u64>,
    /// From each heal to the next file that was completed, in milliseconds.
    pub recoveries: BTreeMap<&'static str, Vec<u64>>,
    /// Records put on topics by hand.
    pub injected: BTreeMap<&'static str, u64>,
    /// Kinds after which nothing was completed within the limit.
    pub without_progress: Vec<&'static str>,
}

/// Time limit for the next file to be completed after a heal. While roles also die at crash points, one that dies just then
/// keeps its partitions for a session, and the next one its own for another.
pub const fn progress_limit(crash_every: usize) -> Duration {
    Duration::from_secs(if crash_every == 0 { 10 } else { 60 })
}

/// Kinds of fault in an order that the seed alone decides: all of them, then all of them again in another order.
pub struct Schedule {
    kinds: Vec<Kind>,
    round: Vec<Kind>,
    /// `None`: without an end.
    rounds: Option<usize>,
    pub dice: Dice,
}

impl Schedule {
    pub fn new(kinds: &[Kind], seed: u64, rounds: Option<usize>) -> Self {
        Self { kinds: kinds.to_vec(), round: Vec::new(), rounds, dice: Dice::new(seed, 1 << 60) }
    }

    fn next(&mut self) -> Option<Kind> {
        if self.round.is_empty() {
            self.rounds = match self.rounds {
                Some(0) => return None,
                Some(left) => Some(left - 1),
                None => None,
            };
            self.round = self.kinds.clone();
            for last in (1..self.round.len()).rev() {
                let other = self.dice.below(last + 1);
                self.round.swap(last, other);
            }
        }
        self.round.pop()
    }

    /// Injects one fault after the other until `stop`, which this does when it comes to an end by itself; the one under way
    /// is healed before this returns.
    pub async fn run(mut self, stage: &Stage, stop: &CancellationToken) -> Done {
        let mut done = Done::default();
        let limit = progress_limit(stage.crash_every);
        let mut progress = Progress::new(&stage.services.ground.database_url);
        while let Some(kind) = self.next() {
            let pause =
                Duration::from_millis(1000 + u64::try_from(self.dice.below(1000)).unwrap_or_default());
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            stage.log(kind.name());
            *done.faults.entry(kind.name()).or_default() += 1;
            kind.inject(stage, &mut self.dice, &mut done).await;
            stage.services.pass();
            match stop.run_until_cancelled(progress.first(limit)).await {
                None => break,
                Some(Some(took)) => {
                    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                    done.recoveries.entry(kind.name()).or_default().push(millis);
                }
                Some(None) => done.without_progress.push(kind.name()),
            }
        }
        if self.rounds.is_some() {
            stop.cancel();
        }
        done
    }
}
