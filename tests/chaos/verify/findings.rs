//! What was found wrong: every case counted, the first few of each kind told.

use std::collections::BTreeMap;

use super::Violation;

/// Cases of one check that are told; the rest is a number.
const TOLD: u64 = 10;

#[derive(Debug, Default)]
pub struct Findings(BTreeMap<(&'static str, &'static str), (u64, Vec<String>)>);

impl Findings {
    pub fn add(&mut self, invariant: &'static str, check: &'static str, detail: impl FnOnce() -> String) {
        let (count, told) = self.0.entry((invariant, check)).or_default();
        *count += 1;
        if *count <= TOLD {
            told.push(detail());
        }
    }

    /// How often a check found something.
    pub fn count(&self, check: &str) -> u64 {
        self.0.iter().filter(|((_, name), _)| *name == check).map(|(_, (count, _))| count).sum()
    }

    pub fn into_violations(self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for ((invariant, check), (count, told)) in self.0 {
            let more = (count > TOLD).then(|| format!("and {} more", count - TOLD));
            let details = told.into_iter().chain(more);
            violations.extend(details.map(|detail| Violation { invariant, check, detail }));
        }
        violations
    }
}
