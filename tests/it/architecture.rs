//! The rules of the house, checked on the source: who may use whom, where each outside crate lives, how files look.

mod cycle;
mod mirror;
mod offenders;
mod source;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use source::{Source, Target};

/// Modules that adapters and entry points stand on.
const GROUND: [&str; 4] = ["domain", "config", "telemetry", "faults"];
const TOOLS: [&str; 5] = ["db", "broker", "storage", "generators", "processors"];
const DOORS: [&str; 5] = ["actions", "jobs", "http", "consumer", "embedded"];

/// Each top-level module and the ones it may use, itself aside. `main.rs` may use all of them; `lib.rs` only
/// declares them.
const MAY_USE: [(&str, &[&[&str]]); 16] = [
    ("domain", &[]),
    ("config", &[&["domain"]]),
    ("telemetry", &[&["domain", "config"]]),
    ("faults", &[&["config"]]),
    ("db", &[&GROUND]),
    ("broker", &[&GROUND]),
    ("storage", &[&GROUND]),
    ("client", &[&GROUND]),
    ("generators", &[&GROUND]),
    ("processors", &[&GROUND]),
    ("actions", &[&GROUND, &TOOLS]),
    ("jobs", &[&GROUND, &TOOLS, &["actions"]]),
    ("http", &[&GROUND, &["actions"]]),
    ("consumer", &[&GROUND, &["actions", "broker"]]),
    ("embedded", &[&["domain", "config", "telemetry"]]),
    ("commands", &[&GROUND, &TOOLS, &DOORS, &["client"]]),
];

/// Paths and the only folders or files of `src` that may name them.
const HOMES: [(&str, &[&str]); 37] = [
    ("diesel", &["db"]),
    ("diesel_async", &["db"]),
    ("diesel_migrations", &["db"]),
    ("deadpool", &["db"]),
    ("tokio_postgres", &["db"]),
    ("tokio_postgres_rustls", &["db"]),
    ("rskafka", &["broker/kafka"]),
    ("rdkafka", &["broker/kafka"]),
    ("reqwest", &["client", "storage"]),
    ("rustls", &["config", "db"]),
    ("s3", &["storage"]),
    ("quick_xml", &["storage"]),
    ("s3s", &["embedded"]),
    ("hyper_util", &["embedded"]),
    ("tikv_jemallocator", &["main.rs"]),
    ("socket2", &["db", "http/connection.rs"]),
    ("nix", &["commands/descriptors.rs", "embedded", "faults"]),
    ("tokio::process", &["embedded"]),
    ("std::process::Command", &["embedded"]),
    ("actix_http", &["http"]),
    ("actix_server", &["http"]),
    ("actix_service", &["http"]),
    ("actix_web", &["http"]),
    ("askama", &["http"]),
    ("flate2", &["http"]),
    ("file_format", &["processors/media_type"]),
    ("sha1", &["domain/uploads/checksum"]),
    ("clap", &["commands", "main.rs"]),
    ("indicatif", &["commands"]),
    ("env_logger", &["telemetry"]),
    ("std::env::var", &["config/env.rs"]),
    ("std::env::var_os", &["config/env.rs"]),
    ("std::env::vars", &["config/env.rs"]),
    ("std::env::vars_os", &["config/env.rs"]),
    // This machine's clock is shown and told; the database's decides.
    (
        "crate::domain::Timestamp::now",
        &["actions/files/generate.rs", "broker/local/partition.rs", "http", "telemetry"],
    ),
    ("chrono::Utc::now", &["broker/kafka/partition_sender.rs", "domain/time.rs"]),
    ("std::time::SystemTime", &["storage/client/clock.rs"]),
];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 5] = ["util", "utils", "common", "helpers", "misc"];

/// First words that make a doc comment a fragment: it begins with a verb or a noun phrase instead.
const FRAGMENTS: [&str; 15] = [
    "Of", "For", "As", "Until", "One", "Those", "What", "Where", "Which", "Whether", "How", "Who", "When",
    "Why", "So",
];

const MAX_LINES: usize = 400;

/// A first line shorter than this says nothing.
const MIN_PURPOSE_CHARS: usize = 16;

#[test]
fn the_source_keeps_the_rules_of_the_house() {
    let tree = read_tree("src");
    assert!(tree.contains_key("lib.rs") && tree.contains_key("main.rs"));
    let broken: Vec<String> = violations(&tree).iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn tests_and_benches_say_what_they_are_in_whole_phrases() {
    for folder in ["tests", "benches"] {
        let tree = read_tree(folder);
        let broken: Vec<Violation> = tree.iter().flat_map(|(file, text)| word_problems(file, text)).collect();
        assert_eq!(broken, [], "in {folder}");
    }
}

/// Source text by path below a folder.
type Tree = BTreeMap<String, String>;

fn read_tree(folder: &str) -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut tree = Tree::new();
    read_folder(&root, &root, &mut tree);
    assert!(!tree.is_empty(), "{folder} has no source");
    tree
}

fn read_folder(src: &Path, folder: &Path, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(src, &path, tree);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
            tree.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Direction,
    Pair,
    Home,
    Length,
    Purpose,
    Name,
    Words,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    file: String,
    rule: Rule,
    text: String,
    line: usize,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, rule, text, line } = self;
        write!(f, "src/{file}:{line}: {text} ({rule:?})")
    }
}

/// Everything that is wrong with a tree; a file's repetitions of the same thing count once.
fn violations(tree: &Tree) -> Vec<Violation> {
    let parsed: BTreeMap<&str, Source> =
        tree.iter().map(|(file, text)| (&**file, Source::of(file, text))).collect();
    let for_tests: BTreeSet<&Vec<String>> = parsed.values().flat_map(|source| &source.test_modules).collect();
    let mut found = Vec::new();
    let mut edges: BTreeMap<(&str, &str), (&str, usize)> = BTreeMap::new();
    for (file, source) in &parsed {
        found.extend(shape_problems(file, &tree[*file]));
        found.extend(word_problems(file, &tree[*file]));
        found.extend(name_problems(file, source));
        if (1..=source.module.len()).any(|depth| for_tests.contains(&source.module[..depth].to_vec())) {
            continue;
        }
        found.extend(home_problems(file, source));
        if matches!(*file, "lib.rs" | "main.rs") {
            continue;
        }
        found.extend(direction_problems(file, source));
        for (target, line) in source.inside() {
            edges.entry((&source.module[0], target)).or_insert((file, line));
        }
    }
    found.extend(pair_problems(&edges));
    found.sort();
    found.dedup_by(|a, b| (&a.file, a.rule, &a.text) == (&b.file, b.rule, &b.text));
    found
}

fn violation(file: &str, line: usize, rule: Rule, text: String) -> Violation {
    let file = file.to_owned();
    Violation { file, rule, text, line }
}

fn shape_problems(file: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let purpose = text.lines().next().and_then(|line| line.strip_prefix("//! "));
    if purpose.is_none_or(|purpose| purpose.trim().chars().count() < MIN_PURPOSE_CHARS) {
        let text = "the first line must say what the file is for: `//! …`".to_owned();
        found.push(violation(file, 1, Rule::Purpose, text));
    }
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().count();
    if lines > MAX_LINES {
        let text = format!("{lines} lines before its tests, at most {MAX_LINES} are allowed");
        found.push(violation(file, lines, Rule::Length, text));
    }
    found
}

fn word_problems(file: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let first = comment.and_then(|comment| comment.split_whitespace().next());
        if let Some(word) = first.filter(|word| !is_inside && FRAGMENTS.contains(word)) {
            let text = format!("a doc comment begins with a verb or a noun phrase, not with {word}");
            found.push(violation(file, index + 1, Rule::Words, text));
        }
        is_inside = comment.is_some();
    }
    found
}

fn name_problems(file: &str, source: &Source) -> Vec<Violation> {
    let own = source.module.iter().map(|name| (name, 1));
    let inner = source.declared.iter().map(|(name, line)| (name, *line));
    own.chain(inner)
        .filter(|(name, _)| EMPTY_NAMES.contains(&name.as_str()))
        .map(|(name, line)| violation(file, line, Rule::Name, format!("a module named {name} says nothing")))
        .collect()
}

fn direction_problems(file: &str, source: &Source) -> Vec<Violation> {
    let own = source.module[0].as_str();
    let Some((_, allowed)) = MAY_USE.iter().find(|(module, _)| *module == own) else {
        let text = format!("{own} is not in the table of who may use whom");
        return vec![violation(file, 1, Rule::Direction, text)];
    };
    let allowed: Vec<&str> = allowed.iter().copied().flatten().copied().collect();
    source
        .inside()
        .filter(|(target, _)| !allowed.contains(target))
        .map(|(target, line)| {
            let text = format!("{own} must not use {target}, only: {}", allowed.join(" "));
            violation(file, line, Rule::Direction, text)
        })
        .collect()
}

fn home_problems(file: &str, source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, line) in &source.paths {
        let named = match path {
            Target::Outside(named) => named.clone(),
            Target::Inside(named) => [&["crate".to_owned()], named.as_slice()].concat(),
        };
        for (guarded, homes) in HOMES {
            let at_home = |home: &&str| {
                let below = file.strip_prefix(*home);
                below.is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
            };
            if reaches(&named, guarded) && !homes.iter().any(at_home) {
                let text = format!("{guarded} is for {} only", homes.join(" and "));
                found.push(violation(file, *line, Rule::Home, text));
            }
        }
    }
    found
}

/// `a::b::c` reaches `a::b`, and so does `a::*`; `a` alone doesn't.
fn reaches(named: &[String], guarded: &str) -> bool {
    let guarded: Vec<&str> = guarded.split("::").collect();
    let star = named.iter().position(|name| name == "*").unwrap_or(guarded.len());
    let depth = star.min(guarded.len());
    named.len() >= depth && named[..depth] == guarded[..depth]
}

fn pair_problems(edges: &BTreeMap<(&str, &str), (&str, usize)>) -> Vec<Violation> {
    edges
        .iter()
        .filter(|((from, to), _)| edges.contains_key(&(*to, *from)))
        .map(|((from, to), (file, line))| {
            violation(file, *line, Rule::Pair, format!("{from} and {to} use each other"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `file:line rule` for everything wrong with a tree whose files all say what they are for.
    fn broken(files: &[(&str, &str)]) -> Vec<String> {
        let tree = files
            .iter()
            .map(|(file, code)| ((*file).to_owned(), format!("//! Says what it is for.\n{code}\n")))
            .collect();
        let label = |found: &Violation| format!("{}:{} {:?}", found.file, found.line, found.rule);
        violations(&tree).iter().map(label).collect()
    }

    #[test]
    fn a_tool_that_uses_another_tool_is_caught_however_it_is_written() {
        for code in [
            "use crate::broker::Record;",
            "use crate::{domain::File, broker::{Record, Position}};",
            "use super::super::broker::Record;",
            "fn f(record: &crate::broker::Record) {}",
            "fn f() { crate::broker::publish(); }",
            "fn f() { log::info!(\"{}\", crate::broker::NAME); }",
            "#[derive(crate::broker::Derive)] struct S;",
            "mod inner { use super::super::super::broker::Record; }",
            "pub use crate::broker as queue;",
            "pub(in crate::broker) struct S;",
        ] {
            assert_eq!(broken(&[("db/files.rs", code)]), ["db/files.rs:2 Direction"], "{code}");
        }
    }

    #[test]
    fn what_the_table_allows_is_not_reported() {
        let allowed = [
            ("main.rs", "fn main() { filesys::commands::run(filesys::config::read()); }"),
            ("lib.rs", "pub mod domain; pub mod db;"),
            ("domain/files/file.rs", "use super::Error; pub(crate) struct S; pub(super) struct T;"),
            ("config/env.rs", "fn f() { std::env::vars_os(); }"),
            ("db/mod.rs", "pub mod files; use crate::{config, domain}; use files::Row; use self::files::Id;"),
            ("db/files.rs", "use super::schema; fn f() { diesel::insert(config::X); }"),
            ("consumer/runner.rs", "use crate::broker::Member; use crate::actions;"),
            ("actions/relay.rs", "use crate::{broker, db}; fn f() { std::env::temp_dir(); }"),
            ("commands/up.rs", "use crate::{embedded, http, db};"),
        ];
        assert_eq!(broken(&allowed), [""; 0]);
    }

    #[test]
    fn doors_use_verbs_and_not_tools() {
        let door = |file| broken(&[(file, "use crate::broker::Record; use crate::db::Db;")]);
        assert_eq!(door("consumer/mod.rs"), ["consumer/mod.rs:2 Direction"]);
        assert_eq!(door("http/mod.rs"), ["http/mod.rs:2 Direction"; 2]);
    }

    #[test]
    fn two_modules_that_use_each_other_are_caught_on_both_sides() {
        let found = broken(&[
            ("telemetry/mod.rs", "use crate::config::X;"),
            ("config/mod.rs", "\nuse crate::telemetry::Y;"),
        ]);
        assert_eq!(found, ["config/mod.rs:3 Direction", "config/mod.rs:3 Pair", "telemetry/mod.rs:2 Pair"]);
    }

    #[test]
    fn a_module_that_the_table_does_not_know_is_caught() {
        assert_eq!(broken(&[("plugins/mod.rs", "")]), ["plugins/mod.rs:1 Direction"]);
        assert_eq!(broken(&[("http/mod.rs", "use crate::Shortcut;")]), ["http/mod.rs:2 Direction"]);
        assert_eq!(broken(&[("http/mod.rs", "use crate::*;")]), ["http/mod.rs:2 Direction"]);
    }

    #[test]
    fn an_outside_crate_away_from_home_is_caught() {
        for (guarded, _) in HOMES {
            let code = format!("fn f() {{ {guarded}::x(); }}");
            assert_eq!(broken(&[("actions/a.rs", &code)]), ["actions/a.rs:2 Home"], "{guarded}");
            let code = format!("use {guarded};");
            assert_eq!(broken(&[("actions/a.rs", &code)]), ["actions/a.rs:2 Home"], "{guarded}");
        }
        assert_eq!(broken(&[("broker/local.rs", "use rskafka::client;")]), ["broker/local.rs:2 Home"]);
        assert_eq!(broken(&[("broker/kafka/reader.rs", "use rskafka::client;")]), [""; 0]);
    }

    #[test]
    fn the_environment_is_not_read_behind_another_name() {
        for code in [
            "use std::env; fn f() { env::var(\"A\"); }",
            "use std::env as e; fn f() { e::var(\"A\"); }",
            "use std::env::*;",
            "fn f() { println!(\"{}\", std::env::var(\"A\")); }",
            "use ::std::env::var;",
        ] {
            let found = broken(&[("config/http.rs", code)]);
            assert!(found.contains(&"config/http.rs:2 Home".to_owned()), "{code}: {found:?}");
        }
    }

    #[test]
    fn a_module_or_variable_named_like_a_crate_is_not_the_crate() {
        let found = broken(&[
            ("config/mod.rs", "pub mod s3; pub use s3::S3Config;"),
            ("actions/a.rs", "use crate::config::s3; fn f() { s3::read(); let nix = 1; g(nix); }"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn test_code_may_use_anything() {
        let found = broken(&[
            ("db/mod.rs", "#[cfg(test)] mod fixtures; #[cfg(test)] mod tests { use crate::http::X; }"),
            ("db/fixtures.rs", "use crate::broker::Record; use clap::Parser;"),
            (
                "db/files.rs",
                "#[cfg(test)] use crate::broker::Record; impl S { #[cfg(test)] fn f() { clap::x(); } }",
            ),
            ("db/outbox.rs", "#![cfg(test)] use crate::broker::Record;"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_long_file_is_caught_and_its_tests_do_not_count() {
        let long = "\n".repeat(MAX_LINES);
        assert_eq!(broken(&[("db/files.rs", &long)]), ["db/files.rs:402 Length"]);
        let tests = format!("#[cfg(test)]\nmod tests {{{long}}}");
        assert_eq!(broken(&[("db/files.rs", &tests)]), [""; 0]);
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_caught() {
        for text in
            ["", "fn f() {}", "//! Files.", "//!", "// What this file is for, said in the wrong place."]
        {
            let found = violations(&Tree::from([("db/files.rs".to_owned(), text.to_owned())]));
            assert_eq!(found.iter().map(|v| v.rule).collect::<Vec<_>>(), [Rule::Purpose], "{text}");
        }
    }

    #[test]
    fn a_doc_comment_that_begins_as_a_fragment_is_caught() {
        for word in FRAGMENTS {
            let code = format!("struct S {{\n    /// {word} something.\n    a: u8,\n}}");
            assert_eq!(broken(&[("db/files.rs", &code)]), ["db/files.rs:3 Words"]);
        }
        let whole = "/// Counts rows.\n/// For each status.\nfn f() {}\n// One by one.\nfn g() {}";
        assert_eq!(broken(&[("db/files.rs", whole)]), [""; 0]);
    }

    #[test]
    fn a_module_name_that_says_nothing_is_caught() {
        for name in EMPTY_NAMES {
            assert_eq!(broken(&[(&format!("db/{name}.rs"), "")]), [format!("db/{name}.rs:1 Name")]);
            assert_eq!(broken(&[(&format!("db/{name}/mod.rs"), "")]), [format!("db/{name}/mod.rs:1 Name")]);
            assert_eq!(broken(&[("db/files.rs", &format!("mod {name} {{}}"))]), ["db/files.rs:2 Name"]);
        }
    }
}
