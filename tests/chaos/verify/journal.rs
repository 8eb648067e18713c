//! The clients' journal as the verifier reads it: each request with its answers.

use std::collections::HashMap;
use std::path::Path;

use super::content::sha256;
use crate::load::journal::{self, Action, Line, Response, Step};

/// Request with its answers, however often it was sent, and what clients did to its file.
#[derive(Debug, Default)]
pub struct SentRequest {
    pub title: String,
    pub key: Option<String>,
    pub description: Option<Digest>,
    /// True if it is valid.
    pub good: bool,
    /// Every id that a 201 named, once.
    pub ids: Vec<i64>,
    /// Status of a 4xx that is no time-out.
    pub refused: Option<u16>,
    /// Differences between 201s and the request.
    pub wrong: Vec<String>,
    pub cancels: ClientTransitions,
    pub retries: ClientTransitions,
    pub deletes: ClientTransitions,
}

/// Transitions of one kind that clients asked for.
#[derive(Debug, Default, Clone, Copy)]
pub struct ClientTransitions {
    /// Number of times that it may have happened: every request that was not clearly refused.
    pub possible: u32,
    /// Answered 2xx.
    pub done: u32,
}

/// Length and SHA-256: enough to recognise a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest(usize, String);

impl Digest {
    pub fn of(text: &str) -> Self {
        Self(text.len(), sha256(text.as_bytes()))
    }
}

/// Seed and number of a request.
pub type Number = (u64, u64);

/// Requests by number, by title and by id.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "what each is found by")]
pub struct Journal {
    pub by_number: HashMap<Number, SentRequest>,
    by_title: HashMap<String, Number>,
    by_id: HashMap<i64, Number>,
}

impl Journal {
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut read = Self::default();
        for line in journal::read(path) {
            read.take(line.map_err(|error| format!("journal: {error}"))?)?;
        }
        Ok(read)
    }

    pub fn with_title(&self, title: &str) -> Option<(Number, &SentRequest)> {
        let number = *self.by_title.get(title)?;
        Some((number, self.by_number.get(&number)?))
    }

    /// Finds the request of a file whose title is erased.
    pub fn with_id(&self, id: i64) -> Option<(Number, &SentRequest)> {
        let number = *self.by_id.get(&id)?;
        Some((number, self.by_number.get(&number)?))
    }

    fn take(&mut self, Line { seed, number, step, .. }: Line) -> Result<(), String> {
        let number = (seed, number);
        let sent = match &step {
            Step::Send { .. } => self.by_number.entry(number).or_default(),
            Step::Resend { .. } | Step::Answer { .. } | Step::Action { .. } | Step::ActionAnswer { .. } => {
                self.by_number
                    .get_mut(&number)
                    .ok_or_else(|| format!("journal: {number:?} was never sent"))?
            }
        };
        match step {
            Step::Send { key, title, description, good, .. } => {
                if self.by_title.insert(title.clone(), number).is_some() {
                    return Err(format!("journal: {title:?} was sent twice"));
                }
                let description = description.as_deref().map(Digest::of);
                *sent = SentRequest { title, key, description, good, ..SentRequest::default() };
            }
            Step::Resend { .. } => {}
            Step::Answer { response, id, wrong } => {
                if response.status == Some(201) {
                    self.by_id.extend(id.map(|id| (id, number)));
                    sent.ids.extend(id.filter(|id| !sent.ids.contains(id)));
                    sent.wrong.extend(wrong);
                } else if is_refused(&response) {
                    sent.refused = response.status;
                }
            }
            Step::Action { action, .. } => sent.transitions(action).possible += 1,
            Step::ActionAnswer { action, response, .. } => {
                let transitions = sent.transitions(action);
                if response.status.is_some_and(|status| status < 300) {
                    transitions.done += 1;
                } else if is_refused(&response) {
                    transitions.possible -= 1;
                }
            }
        }
        Ok(())
    }
}

impl SentRequest {
    fn transitions(&mut self, action: Action) -> &mut ClientTransitions {
        match action {
            Action::Cancel => &mut self.cancels,
            Action::Retry => &mut self.retries,
            Action::Delete => &mut self.deletes,
        }
    }
}

fn is_refused(response: &Response) -> bool {
    response.status.is_some_and(|status| (400..500).contains(&status) && status != 408)
}
