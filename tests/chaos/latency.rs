//! Latency of POSTs that were answered 201, by the times in the journal, with those of an outage apart.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::load::journal::{self, Step};

/// Latencies as a line of text, with those during the outage apart.
#[derive(Debug, Default, Serialize)]
pub struct Latency {
    pub median: String,
    pub p99: String,
}

impl Latency {
    /// The outage is in time since the first line.
    pub fn of(file: &Path, outage: Option<(Duration, Duration)>) -> Self {
        let mut begun = HashMap::new();
        let mut first = None;
        let (mut usual, mut during) = (Vec::new(), Vec::new());
        for line in journal::read(file).flatten() {
            let first = *first.get_or_insert(line.at);
            let sending = (line.number, line.send);
            match line.step {
                Step::Send { .. } | Step::Resend { .. } => {
                    begun.insert(sending, line.at);
                }
                Step::Answer { response, .. } => {
                    let Some(at) = begun.remove(&sending).filter(|_| response.status == Some(201)) else {
                        continue;
                    };
                    let since = Duration::from_millis(at.saturating_sub(first));
                    let is_during = outage.is_some_and(|(from, to)| (from..to).contains(&since));
                    let times = if is_during { &mut during } else { &mut usual };
                    times.push(line.at.saturating_sub(at));
                }
                Step::Action { .. } | Step::ActionAnswer { .. } => {}
            }
        }
        usual.sort_unstable();
        during.sort_unstable();
        let say = |percent: usize| {
            let at = |times: &[u64]| times.get(times.len() * percent / 100).copied().unwrap_or_default();
            let usual = format!("{} ms", at(&usual));
            if during.is_empty() { usual } else { format!("{usual}, {} ms during it", at(&during)) }
        };
        Self { median: say(50), p99: say(99) }
    }
}
