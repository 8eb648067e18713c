//! Lists of files that break a rule today: a list may only shrink, and is gone when it is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rewrites the lists when it is set, which moves entries of files that moved and drops those that no longer offend. A list
/// that would grow stays as it is.
const UPDATE: &str = "UPDATE_OFFENDERS";

/// Offences by what stands for them in the list, each with what is wrong.
pub type Offences = BTreeMap<String, String>;

/// Compares what was found with `offenders/NAME.txt`, one entry a line.
pub fn assert_known(name: &str, found: &Offences) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/architecture/offenders/{name}.txt"));
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let known: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let differences = differences(&known, found);
    if differences.is_empty() {
        return;
    }
    if std::env::var_os(UPDATE).is_some() && found.len() <= known.len() {
        let entries: Vec<&str> = found.keys().map(String::as_str).collect();
        std::fs::write(
            &file,
            entries.join(
                "
",
            ) + "
",
        )
        .unwrap();
        return;
    }
    panic!(
        "{}\n(`{UPDATE}=1 cargo test --test it architecture` rewrites offenders/{name}.txt if it doesn't grow)",
        differences.join("\n")
    );
}

/// Returns what is wrong and not in the list, and what is in the list and no longer wrong.
fn differences(known: &BTreeSet<&str>, found: &Offences) -> Vec<String> {
    let new = found.iter().filter(|(entry, _)| !known.contains(entry.as_str()));
    let gone = known.iter().filter(|entry| !found.contains_key(**entry));
    let new = new.map(|(entry, text)| format!("{entry}: {text}"));
    new.chain(gone.map(|entry| format!("{entry}: no longer offends, take it off the list"))).collect()
}

#[test]
fn an_offence_that_is_not_listed_and_an_entry_without_an_offence_are_both_caught() {
    let found = Offences::from(["a.rs", "b.rs"].map(|file| (file.to_owned(), "wrong".to_owned())));
    assert_eq!(differences(&["a.rs", "b.rs"].into(), &found), [""; 0]);
    assert_eq!(differences(&["a.rs"].into(), &found), ["b.rs: wrong"]);
    let gone = "c.rs: no longer offends, take it off the list";
    assert_eq!(differences(&["a.rs", "b.rs", "c.rs"].into(), &found), [gone]);
}
