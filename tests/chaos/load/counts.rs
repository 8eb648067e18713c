//! Counts of the clients: answers by kind, times of POSTs, and availability second by second.

use std::time::{Duration, Instant};

/// Counts of a run, or of a window of it.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Counts {
    /// Files asked for, each once however often it was repeated.
    pub sent: u64,
    /// Answered 201.
    pub accepted: u64,
    /// Answered 4xx, as they should be.
    pub refused: u64,
    /// Without a key, and without a clear answer: may or may not be there.
    pub unclear: u64,
    /// Single POSTs of good requests, repetitions included.
    pub posts: u64,
    /// Number of them answered 201.
    pub answered: u64,
    /// Number of them answered 503.
    pub unavailable: u64,
    /// Number of them answered with another 5xx.
    pub errors: u64,
    /// Number of them without any answer.
    pub silent: u64,
    pub longest_post: Duration,
    /// By the second since the start, counted when the answer came or failed to come.
    pub seconds: Vec<Second>,
}

#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Second {
    /// Single POSTs of good requests that ended in this second.
    pub posts: u64,
    /// Number of them answered 201.
    pub answered: u64,
    pub longest: Duration,
}

impl Counts {
    /// Returns the availability of single POSTs, in percent; 100 when there was none.
    pub fn availability(&self) -> f64 {
        percent(self.answered, self.posts)
    }

    /// The same of the seconds `from..to` since the start.
    pub fn availability_between(&self, from: Duration, to: Duration) -> f64 {
        let window = self.window(from, to);
        percent(window.answered, window.posts)
    }

    /// The seconds `from..to` taken together.
    pub fn window(&self, from: Duration, to: Duration) -> Second {
        let second =
            |at: Duration| usize::try_from(at.as_secs()).unwrap_or(usize::MAX).min(self.seconds.len());
        let seconds = self.seconds.get(second(from)..second(to)).unwrap_or_default();
        seconds.iter().fold(Second::default(), |sum, second| Second {
            posts: sum.posts + second.posts,
            answered: sum.answered + second.answered,
            longest: sum.longest.max(second.longest),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Running counts.
pub struct Tally {
    counts: Counts,
    started: Instant,
}

impl Tally {
    pub fn start() -> Self {
        Self { counts: Counts::default(), started: Instant::now() }
    }

    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// A request is about to be sent for the first time.
    pub fn begun(&mut self) {
        self.counts.sent += 1;
    }

    /// It won't be sent again. The status is the last one.
    pub fn ended(&mut self, status: Option<u16>) {
        match status {
            Some(201) => self.counts.accepted += 1,
            Some(400..=499) => self.counts.refused += 1,
            Some(_) | None => self.counts.unclear += 1,
        }
    }

    /// Counts one sending of a good request.
    pub fn posted(&mut self, status: Option<u16>, took: Duration) {
        let answered = u64::from(status == Some(201));
        let counts = &mut self.counts;
        counts.posts += 1;
        counts.answered += answered;
        counts.longest_post = counts.longest_post.max(took);
        match status {
            Some(503) => counts.unavailable += 1,
            Some(500..=599) => counts.errors += 1,
            Some(_) => {}
            None => counts.silent += 1,
        }
        let second = usize::try_from(self.started.elapsed().as_secs()).unwrap_or_default();
        if counts.seconds.len() <= second {
            counts.seconds.resize(second + 1, Second::default());
        }
        let second = &mut counts.seconds[second];
        second.posts += 1;
        second.answered += answered;
        second.longest = second.longest.max(took);
    }
}
