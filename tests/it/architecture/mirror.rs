//! Rule **Mirror**: the trees have the same nouns at their second level, and besides them only the facets of their layer.

use std::path::Path;

use super::offenders::{Offences, assert_known};

/// Nouns of the product: the same word in every tree, in the URL and in the name of the table.
const NOUNS: [&str; 16] = [
    "files",
    "dead_letters",
    "messages",
    "schemas",
    "uploads",
    "processing",
    "access",
    "tags",
    "shares",
    "versions",
    "retention",
    "search",
    "webhooks",
    "batch",
    "fsck",
    "health",
];

/// Trees, and what stands in each beside the nouns.
const TREES: [(&str, &[&str]); 9] = [
    (
        "src/domain",
        &[
            "byte_range",
            "error",
            "finding",
            "idempotency",
            "ids",
            "json_object",
            "mod",
            "pacing",
            "pagination",
            "shell",
            "strict_json",
            "text",
            "time",
            "topic_settings",
        ],
    ),
    (
        "src/db",
        &[
            "clock",
            "columns",
            "errors",
            "idempotency_keys",
            "limits",
            "listen",
            "migrations",
            "mod",
            "object_removals",
            "outbox",
            "pool",
            "probe",
            "retry",
            "schema",
            "sessions",
            "sqlstate",
            "statements",
            "tls",
            "types",
        ],
    ),
    (
        "src/actions",
        &[
            "context",
            "create_queue",
            "doctor",
            "guard",
            "mod",
            "provision",
            "publish",
            "query_cache",
            "topic_settings",
        ],
    ),
    ("src/http/api", &["mod"]),
    (
        "src/http/ui",
        &["assets", "csrf", "display", "error_page", "forms", "html", "mod", "templates", "tests", "urls"],
    ),
    ("templates", &["_macros", "assets", "base", "error"]),
    (
        "tests/it/api",
        &[
            "bad_requests",
            "caching",
            "connections",
            "hostile_clients",
            "mod",
            "preconditions",
            "response_headers",
        ],
    ),
    ("tests/it/ui", &["accessibility", "browser", "cross_site", "errors", "mod", "visitor"]),
    ("tests/it/cli", &["config", "demo", "doctor", "exit_codes", "mod", "topics", "up", "upload"]),
];

#[test]
fn second_level_names_are_nouns_or_facets_of_their_layer() {
    let mut found = Offences::new();
    for (tree, facets) in TREES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(tree);
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        assert!(!paths.is_empty(), "{tree} is empty");
        let names = paths.iter().filter_map(|path| path.file_stem()?.to_str());
        found.extend(strangers(names, facets).map(|name| {
            let text = format!("neither a noun nor a facet of {tree} (tests/it/architecture/mirror.rs)");
            (format!("{tree}/{name}"), text)
        }));
    }
    assert_known("mirror", &found);
}

fn strangers<'a>(names: impl Iterator<Item = &'a str>, facets: &[&str]) -> impl Iterator<Item = &'a str> {
    names.filter(|name| !NOUNS.contains(name) && !facets.contains(name))
}

#[test]
fn a_name_that_is_neither_noun_nor_facet_is_caught() {
    let names = ["files", "schema", "relay", "file", "moves", "mod"];
    let found: Vec<&str> = strangers(names.into_iter(), &["mod", "schema"]).collect();
    assert_eq!(found, ["relay", "file", "moves"]);
}
