//! Patches that plant bugs for the chaos tests: each must fit the source as it is.

use std::path::Path;
use std::process::Command;

use crate::support::not_run;

/// A change of the source near a planted bug fails here and not only in the chaos tests, which are run more seldom.
#[test]
fn every_planted_bug_fits_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut patches = Vec::new();
    for entry in std::fs::read_dir(root.join("tests/chaos/planted")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            patches.push(path);
        }
    }
    assert_eq!(patches.len(), 10, "nine bugs, and the switch that chooses one");
    let applied = Command::new("git").args(["apply", "--check"]).args(&patches).current_dir(root).output();
    let Ok(output) = applied else { return not_run("there is no git") };
    assert!(
        output.status.success(),
        "{}\nTo update one: `git apply --3way FILE`, resolve, `git diff HEAD -U1 -- src >FILE`, `git checkout HEAD -- src`",
        String::from_utf8_lossy(&output.stderr)
    );
}
