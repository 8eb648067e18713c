//! Violations of invariants: every case is counted, the first few of each kind are described.

use std::collections::BTreeMap;

/// Violation: one thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Name in the list of invariants, such as `I4`.
    pub invariant: &'static str,
    /// Short name of the check.
    pub check: &'static str,
    pub detail: String,
}

/// Number of cases of one check that are described; the others are only counted.
const DESCRIBED: u64 = 10;

/// Violations by invariant and check.
#[derive(Debug, Default)]
pub struct Violations(BTreeMap<(&'static str, &'static str), (u64, Vec<String>)>);

impl Violations {
    pub fn add(&mut self, invariant: &'static str, check: &'static str, detail: impl FnOnce() -> String) {
        let (count, described) = self.0.entry((invariant, check)).or_default();
        *count += 1;
        if *count <= DESCRIBED {
            described.push(detail());
        }
    }

    /// Number of violations that a check has found.
    pub fn count(&self, check: &str) -> u64 {
        self.0.iter().filter(|((_, name), _)| *name == check).map(|(_, (count, _))| count).sum()
    }

    pub fn into_list(self) -> Vec<Violation> {
        let mut list = Vec::new();
        for ((invariant, check), (count, described)) in self.0 {
            let more = (count > DESCRIBED).then(|| format!("and {} more", count - DESCRIBED));
            let details = described.into_iter().chain(more);
            list.extend(details.map(|detail| Violation { invariant, check, detail }));
        }
        list
    }
}
