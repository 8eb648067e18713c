//! Rule **Cycle**: no ring of files that use each other. A module and the modules below it are one thing and may.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::offenders::{Offences, assert_known};
use super::read_tree;
use super::source::{Source, Target};

/// Roots of the crates that are checked. `tests/it` and `tests/chaos` share `tests/it/support`.
const CRATES: [&str; 5] = ["src", "tests/it", "tests/chaos", "benches/load", "benches/uploads"];

#[test]
fn no_ring_of_files() {
    let mut found = Offences::new();
    for root in CRATES {
        let tree = read_tree(root);
        let sources: Vec<Source> = tree.iter().map(|(file, text)| source(root, file, text)).collect();
        let files: Vec<&str> = tree.keys().map(String::as_str).collect();
        for ring in rings(&files, &sources) {
            let written = ring.iter().chain(ring.first()).map(|file| (*file).to_owned()).collect::<Vec<_>>();
            found.insert(format!("{root}/{}", ring[0]), format!("in a ring: {}", written.join(" → ")));
        }
    }
    assert_known("cycle", &found);
}

fn source(root: &str, file: &str, text: &str) -> Source {
    if root == "src" { Source::of(file, text) } else { Source::of_program(file, text) }
}

/// A shortest ring through each file that is in one; it begins with that file.
fn rings<'a>(files: &[&'a str], sources: &[Source]) -> Vec<Vec<&'a str>> {
    let edges = edges(sources);
    let ring = |start: usize| {
        let mut before: HashMap<usize, usize> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            for next in edges.get(&at).into_iter().flatten() {
                if *next == start {
                    let back = std::iter::successors(Some(at), |at| before.get(at).copied());
                    let mut ring: Vec<&str> = back.map(|at| files[at]).collect();
                    ring.reverse();
                    return Some(ring);
                }
                if !before.contains_key(next) {
                    before.insert(*next, at);
                    queue.push_back(*next);
                }
            }
        }
        None
    };
    (0..files.len()).filter_map(ring).collect()
}

/// Files that each file uses, by their numbers.
fn edges(sources: &[Source]) -> BTreeMap<usize, BTreeSet<usize>> {
    // Of two roots, `lib.rs` and `main.rs`, either will do: a root has everything below it.
    let modules: HashMap<&[String], usize> =
        sources.iter().enumerate().map(|(number, source)| (source.module.as_slice(), number)).collect();
    let named: HashMap<&[String], &Target> = sources
        .iter()
        .flat_map(|source| &source.named)
        .map(|(name, target)| (name.as_slice(), target))
        .collect();
    let mut edges: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (number, source) in sources.iter().enumerate() {
        for (target, _) in &source.paths {
            let Target::Inside(path) = target else { continue };
            let Some(path) = declared_at(path, &named) else { continue };
            let file = (0..=path.len()).rev().find_map(|depth| modules.get(&path[..depth]));
            let Some(file) = file.filter(|file| !is_family(&source.module, &sources[**file].module)) else {
                continue;
            };
            edges.entry(number).or_default().insert(*file);
        }
    }
    edges
}

/// Follows re-exports to where a thing is declared. `None`: it comes from another crate.
fn declared_at(path: &[String], named: &HashMap<&[String], &Target>) -> Option<Vec<String>> {
    /// More re-exports than anybody writes; a `use` of its own name has no end.
    const STEPS: usize = 8;
    let mut path = path.to_vec();
    for _ in 0..STEPS {
        let via = (1..=path.len()).find_map(|depth| Some((depth, *named.get(&path[..depth])?)));
        match via {
            Some((depth, Target::Inside(target))) if path[..depth] != **target => {
                path = [target, &path[depth..]].concat();
            }
            Some((_, Target::Outside(_))) => return None,
            Some(_) | None => break,
        }
    }
    Some(path)
}

/// Tells whether one of them is the other, or stands above it.
fn is_family(one: &[String], other: &[String]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn rings_of(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(file, text)| Source::of(file, text)).collect();
    let names: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
    rings(&names, &sources).iter().map(|ring| ring.join(" ")).collect()
}

#[test]
fn two_files_that_use_each_other_are_caught() {
    let found = rings_of(&[
        ("db/files.rs", "use super::outbox::Message; pub struct Row;"),
        ("db/outbox.rs", "pub struct Message(crate::db::files::Row);"),
        ("db/mod.rs", "pub mod files; mod outbox;"),
    ]);
    assert_eq!(found, ["db/files.rs db/outbox.rs", "db/outbox.rs db/files.rs"]);
}

#[test]
fn a_ring_across_folders_and_through_a_re_export_is_caught() {
    let found = rings_of(&[
        ("a/mod.rs", "mod one; pub use one::One;"),
        ("a/one.rs", "pub struct One(crate::b::Two);"),
        ("b.rs", "pub use self::inner::Two; mod inner { pub struct Two(crate::c::Three); }"),
        ("c.rs", "use crate::a::One;"),
    ]);
    assert_eq!(found, ["a/one.rs b.rs c.rs", "b.rs c.rs a/one.rs", "c.rs a/one.rs b.rs"]);
}

#[test]
fn a_module_and_those_below_it_may_use_each_other() {
    let found = rings_of(&[
        ("db/mod.rs", "mod files; use files::Row; pub struct Db(Row);"),
        ("db/files.rs", "use super::Db; use super::outbox; pub struct Row;"),
        ("db/outbox.rs", "use super::Db; use diesel::outbox::files;"),
        ("main.rs", "mod db; struct Main;"),
    ]);
    assert_eq!(found, [""; 0]);
}
