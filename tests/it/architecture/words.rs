//! Rule **Words**: terms that have a plainer word are not used in identifiers and doc comments (docs/GLOSSARY.md).

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};

use super::offenders::{Offences, assert_known};
use super::read_tree;

/// Words that are not used, in any of their forms, and what is written instead.
const NOT_USED: [(&str, &str); 14] = [
    ("anew", "again, recreated"),
    ("crowd", "batch under load"),
    ("fact", "event"),
    ("fate", "publish outcome"),
    ("gather", "linger, collect"),
    ("lane", "priority"),
    ("leftover", "potential orphan"),
    ("letter", "dead letter"),
    ("mend", "repair"),
    ("nobody", "no process, no client"),
    ("rescue", "recover"),
    ("suspect", "candidate"),
    ("verdict", "decision"),
    ("whoever", "any process, the caller"),
];

/// Endings with which a word is still the same.
const ENDINGS: [&str; 6] = ["", "s", "d", "ed", "r", "ing"];

/// Lists of the words themselves.
const LISTS: [&str; 2] = ["it/architecture.rs", "it/architecture/words.rs"];

#[test]
fn terms_with_a_plainer_word_are_not_used() {
    let mut found = Offences::new();
    for root in ["src", "tests", "benches"] {
        for (file, text) in read_tree(root).iter().filter(|(file, _)| !LISTS.contains(&file.as_str())) {
            // The name of a Unicode category, in the library that knows them.
            let text = &text.replace("GeneralCategoryGroup::Letter", "GeneralCategoryGroup::Alphabetic");
            for ((word, instead), line) in unwanted(text) {
                let text = format!("line {line}: write {instead}");
                found.insert(format!("{root}/{file}: {word}"), text);
            }
        }
    }
    assert_known("words", &found);
}

/// Each unwanted word once, with the first line that has it.
fn unwanted(text: &str) -> BTreeMap<(&'static str, &'static str), usize> {
    let mut said = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if let Some(comment) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
            said.push((words(comment), index + 1));
        }
    }
    let tokens: TokenStream = text.parse().unwrap();
    read_identifiers(tokens, &mut said);
    said.sort_by_key(|(_, line)| *line);
    let mut found = BTreeMap::new();
    for (words, line) in &said {
        for (at, word) in words.iter().enumerate() {
            let is_it =
                |unwanted: &str| word.strip_prefix(unwanted).is_some_and(|rest| ENDINGS.contains(&rest));
            let Some(entry) = NOT_USED.into_iter().find(|(unwanted, _)| is_it(unwanted)) else { continue };
            let is_dead = at > 0 && words[at - 1] == "dead";
            // The name of a column and of a header.
            let is_id = words.get(at + 1).is_some_and(|next| next == "id");
            if entry.0 == "letter" && (is_dead || is_id) {
                continue;
            }
            found.entry(entry).or_insert(*line);
        }
    }
    found
}

fn read_identifiers(tokens: TokenStream, said: &mut Vec<(Vec<String>, usize)>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => read_identifiers(group.stream(), said),
            TokenTree::Ident(name) => said.push((words(&name.to_string()), name.span().start().line)),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Words of a text or a name, in lower case: `DeadLetter`, `dead_letter` and `dead letter` have the same.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_after_small = false;
    for c in text.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && is_after_small) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("there is one").extend(c.to_lowercase());
        }
        is_after_small = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn an_unwanted_word_is_caught_in_names_and_doc_comments() {
    for (code, word) in [
        ("struct Letter;", "letter"),
        ("fn keep_letters() {}", "letter"),
        ("enum Crowd {}", "crowd"),
        ("const LANE: u8 = 1;", "lane"),
        ("fn f() { println!(\"{}\", self.rescued); }", "rescue"),
        ("/// Decides the fate of a record.\nfn f() {}", "fate"),
        ("//! Suspects of one run.", "suspect"),
    ] {
        let found: Vec<&str> = unwanted(code).keys().map(|(word, _)| *word).collect();
        assert_eq!(found, [word], "{code}");
    }
}

#[test]
fn ordinary_words_and_names_on_the_wire_are_not_reported() {
    let code = "/// A dead letter, its letter_id; planes, amendments, factors.\n// A fact.\n\
                fn dead_letters(dead_letter: DeadLetter) { let a = \"verdict\"; letter_id; DEAD_LETTERS; }";
    assert_eq!(unwanted(code), BTreeMap::new());
}
