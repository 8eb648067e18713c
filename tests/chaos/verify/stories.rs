//! The journal as the verifier reads it: for each request what was asked for and what was answered.

use std::collections::HashMap;
use std::path::Path;

use super::content::sha256;
use crate::load::journal::{self, By, Line, Said, Step};

/// Story of one request, however often it was sent, and of what was done to its file.
#[derive(Debug, Default)]
pub struct Story {
    pub title: String,
    pub key: Option<String>,
    pub description: Option<Digest>,
    /// It could be accepted.
    pub good: bool,
    /// Every id that a 201 named, once.
    pub ids: Vec<i64>,
    /// By a 4xx that is no time-out.
    pub refused: Option<u16>,
    /// How 201s differed from what was asked for.
    pub wrong: Vec<String>,
    pub cancels: Moves,
    pub retries: Moves,
    pub deletes: Moves,
}

/// Moves of one kind that clients asked for.
#[derive(Debug, Default, Clone, Copy)]
pub struct Moves {
    /// How often it may have been done: every sending that was not clearly refused.
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

/// By number, by title and by id.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "what each is found by")]
pub struct Stories {
    pub by_number: HashMap<Number, Story>,
    by_title: HashMap<String, Number>,
    by_id: HashMap<i64, Number>,
}

impl Stories {
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut stories = Self::default();
        for line in journal::read(path) {
            stories.take(line.map_err(|error| format!("journal: {error}"))?)?;
        }
        Ok(stories)
    }

    pub fn with_title(&self, title: &str) -> Option<(Number, &Story)> {
        let number = *self.by_title.get(title)?;
        Some((number, self.by_number.get(&number)?))
    }

    /// That of a file whose title is erased.
    pub fn with_id(&self, id: i64) -> Option<(Number, &Story)> {
        let number = *self.by_id.get(&id)?;
        Some((number, self.by_number.get(&number)?))
    }

    fn take(&mut self, Line { seed, number, step, .. }: Line) -> Result<(), String> {
        let number = (seed, number);
        let story = match &step {
            Step::Ask { .. } => self.by_number.entry(number).or_default(),
            Step::AskAgain { .. } | Step::Answer { .. } | Step::Move { .. } | Step::Moved { .. } => self
                .by_number
                .get_mut(&number)
                .ok_or_else(|| format!("journal: {number:?} was never asked for"))?,
        };
        match step {
            Step::Ask { key, title, description, good, .. } => {
                if self.by_title.insert(title.clone(), number).is_some() {
                    return Err(format!("journal: {title:?} was asked for twice"));
                }
                let description = description.as_deref().map(Digest::of);
                *story = Story { title, key, description, good, ..Story::default() };
            }
            Step::AskAgain { .. } => {}
            Step::Answer { said, id, wrong } => {
                if said.status == Some(201) {
                    self.by_id.extend(id.map(|id| (id, number)));
                    story.ids.extend(id.filter(|id| !story.ids.contains(id)));
                    story.wrong.extend(wrong);
                } else if is_refused(&said) {
                    story.refused = said.status;
                }
            }
            Step::Move { by, .. } => story.moves(by).possible += 1,
            Step::Moved { by, said, .. } => {
                let moves = story.moves(by);
                if said.status.is_some_and(|status| status < 300) {
                    moves.done += 1;
                } else if is_refused(&said) {
                    moves.possible -= 1;
                }
            }
        }
        Ok(())
    }
}

impl Story {
    fn moves(&mut self, by: By) -> &mut Moves {
        match by {
            By::Cancel => &mut self.cancels,
            By::Retry => &mut self.retries,
            By::Delete => &mut self.deletes,
        }
    }
}

fn is_refused(said: &Said) -> bool {
    said.status.is_some_and(|status| (400..500).contains(&status) && status != 408)
}
