//! Builds the executable with the planted bugs: a copy of the source to which every patch of this folder is applied. Its
//! processes have the bug that `FILESYS_PLANT` names, or none.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::bug::Bug;
use crate::stage::THIS_BUILD;

/// Another name than that of the product, whose executable lies in the same folder.
const NAME: &str = "filesys-planted";

/// Adds `faults::is_planted`, which the other patches call.
const SWITCH: &str = "switch";

/// Variables that cargo sets for tests. Build scripts that look at them would run again, and with them half of the
/// dependencies.
const SET_BY_CARGO: [&str; 8] = [
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
    "CARGO_TARGET_TMPDIR",
    "LD_LIBRARY_PATH",
    "OUT_DIR",
];

/// Builds it into the target directory of the tests, which has its dependencies already.
///
/// # Panics
/// When a patch does not apply, or the build fails.
pub async fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let profile_dir = Path::new(THIS_BUILD).parent().expect("executables lie in a folder");
    let target = profile_dir.parent().expect("profiles lie in the target directory");
    let source = target.join("planted");
    run(Command::new(root.join("scripts/build-context")).arg(&source)).await;
    for name in std::iter::once(SWITCH).chain(Bug::ALL.map(Bug::name)) {
        let patch = root.join(format!("tests/chaos/planted/{name}.patch"));
        // Inside a repository git would apply it to that one.
        let mut apply = Command::new("git");
        apply.arg("apply").arg(patch).current_dir(&source).env("GIT_CEILING_DIRECTORIES", target);
        run(&mut apply).await;
    }
    let manifest = source.join("Cargo.toml");
    // Patches name `crate::faults` in full, whatever the file imports.
    let text = std::fs::read_to_string(&manifest).unwrap();
    let mut text = text.replace("unused_qualifications = \"warn\"", "unused_qualifications = \"allow\"");
    write!(text, "\n[[bin]]\nname = \"{NAME}\"\npath = \"src/main.rs\"\n").unwrap();
    std::fs::write(&manifest, text).unwrap();

    let profile = profile_dir.file_name().and_then(|name| name.to_str()).expect("a profile has a name");
    let profile = if profile == "debug" { "dev" } else { profile };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--offline", "--features", "chaos", "--bin", NAME]);
    cargo.args(["--profile", profile]).arg("--target-dir").arg(target).current_dir(&source);
    for (name, _) in std::env::vars() {
        if SET_BY_CARGO.iter().any(|prefix| name.starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    run(&mut cargo).await;
    profile_dir.join(NAME)
}

async fn run(command: &mut Command) {
    let status = command.kill_on_drop(true).status().await.unwrap();
    assert!(status.success(), "{:?}: {status}", command.as_std());
}
