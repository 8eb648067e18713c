//! Documents that repeat what the code knows, compared with the code. `UPDATE_DOCS=1` rewrites them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use filesys::domain::Status;
use filesys::domain::error::{ErrorCode, Scope};
use filesys::domain::files::status::{Transition, next};
use filesys::domain::messages::MessageSchema;
use filesys::http::error::status;

#[test]
fn the_drawing_of_the_states_is_the_transition_table() {
    agree("docs/STATES.md", "diagram", &diagram());
    agree("docs/STATES.md", "table", &table());
}

#[test]
fn the_tables_of_error_codes_are_those_of_the_enum() {
    agree("docs/API.md", "error codes of the API", &error_codes(Scope::Api));
    agree("docs/API.md", "error codes of pages", &error_codes(Scope::Pages));
}

/// Table of the codes that occur in these answers, in the order of their status.
fn error_codes(scope: Scope) -> String {
    let mut text = "| status | code | when |\n|---|---|---|\n".to_owned();
    let mut codes: Vec<ErrorCode> = ErrorCode::ALL.into_iter().filter(|code| code.scope() == scope).collect();
    codes.sort_by_key(|code| status(code.kind()).as_u16());
    for code in codes {
        let number = status(code.kind()).as_u16();
        writeln!(text, "| {number} | `{}` | {} |", code.name(), code.meaning()).unwrap();
    }
    text
}

#[test]
fn the_reference_of_the_settings_is_what_the_program_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIG.md");
    let printed = Command::new(env!("CARGO_BIN_EXE_filesys"))
        .args(["config", "--reference"])
        .env_clear()
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(printed.status.success());
    if std::fs::read(&path).unwrap() == printed.stdout {
        return;
    }
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(may_write(), "docs/CONFIG.md is not what the code says; {HOW_TO_WRITE}:\n{printed}");
    std::fs::write(&path, printed).unwrap();
}

#[test]
fn the_schemas_of_messages_are_those_of_their_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
    for schema in MessageSchema::ALL {
        let path = folder.join(format!("{}.json", schema.name()));
        let generated = format!("{:#}\n", schema.json());
        if std::fs::read_to_string(&path).is_ok_and(|written| written == generated) {
            continue;
        }
        assert!(may_write(), "{} is not what the code says; {HOW_TO_WRITE}:\n{generated}", path.display());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&path, generated).unwrap();
    }
    let written = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(written, MessageSchema::ALL.len(), "a file in {} has no schema", folder.display());
}

#[test]
fn every_test_and_every_kind_of_chaos_that_the_table_of_faults_names_exists() {
    let text = source("docs/RELIABILITY.md");
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault ")).collect();
    for row in &rows {
        let tried_by = row.trim_end_matches('|').rsplit_once('|').unwrap().1;
        let (mut tests, mut points) = (0, 0);
        // What stands between backticks.
        for name in tried_by.split('`').skip(1).step_by(2) {
            if let Some((file, function)) = name.split_once("::") {
                assert!(source(file).contains(&format!("fn {function}(")), "{file} has no {function}");
                tests += 1;
            } else if let Some(options) = name.strip_prefix("just chaos ") {
                assert_chaos(options);
                tests += 1;
            } else {
                assert!(
                    source("src/config/faults.rs").contains(&format!("=> \"{name}\"")),
                    "no point {name}"
                );
                points += 1;
            }
        }
        assert!(tests + points > 0, "nobody tries it: {row}");
    }
    assert!(rows.len() > 20, "{}", rows.len());
}

/// Options of the chaos run: `--faults` with kinds, or another one, with or without a value.
fn assert_chaos(options: &str) {
    let (option, value) = options.split_once(' ').unwrap_or((options, ""));
    let option = option.strip_prefix("--").unwrap();
    let main = source("tests/chaos/main.rs");
    assert!(main.contains(&format!("\n    {}: ", option.replace('-', "_"))), "chaos has no --{option}");
    let kinds = source("tests/chaos/faults/kinds.rs");
    for kind in value.split(',').filter(|_| option == "faults") {
        assert!(kinds.contains(&format!("=> \"{kind}\"")), "chaos has no kind {kind}");
    }
}

fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Draws one edge for each pair of statuses, labelled with its transitions.
fn diagram() -> String {
    let mut edges: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    let place = |status| Status::ALL.iter().position(|known| *known == status).unwrap();
    for from in Status::ALL {
        for by in Transition::ALL {
            if let Some(to) = next(from, by) {
                edges.entry((place(from), place(to))).or_default().push(by.name());
            }
        }
    }
    let mut text = "```mermaid\nstateDiagram-v2\n    [*] --> pending : request\n".to_owned();
    for ((from, to), moves) in edges {
        let (from, to) = (Status::ALL[from].name(), Status::ALL[to].name());
        writeln!(text, "    {from} --> {to} : {}", moves.join(", ")).unwrap();
    }
    text.push_str("```\n");
    text
}

fn table() -> String {
    let mut text = "| from |".to_owned();
    for by in Transition::ALL {
        write!(text, " {} |", by.name()).unwrap();
    }
    writeln!(text, "\n|---|{}", "---|".repeat(Transition::ALL.len())).unwrap();
    for from in Status::ALL {
        write!(text, "| **{}** |", from.name()).unwrap();
        for by in Transition::ALL {
            let raised = if by.raises_attempt() { ", attempt + 1" } else { "" };
            match next(from, by) {
                Some(to) => write!(text, " {}{raised} |", to.name()).unwrap(),
                None => text.push_str(" – |"),
            }
        }
        text.push('\n');
    }
    text
}

const HOW_TO_WRITE: &str = "UPDATE_DOCS=1 cargo test --test it docs writes it";

fn may_write() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

/// Checks that the text between the markers of `block` is what the code says.
fn agree(file: &str, block: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let open = format!("<!-- generated: {block} -->\n");
    let (before, rest) = text.split_once(&open).unwrap_or_else(|| panic!("{file} has no block {block}"));
    let (written, after) =
        rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("{file}: {block} has no end"));
    if written == generated {
        return;
    }
    assert!(may_write(), "{file} has another {block} than the code; {HOW_TO_WRITE}:\n{generated}");
    std::fs::write(&path, format!("{before}{open}{generated}<!-- end -->{after}")).unwrap();
}
