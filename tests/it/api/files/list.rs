//! The list: newest first, page by page while it grows, filtered by status and title.

use std::collections::BTreeSet;

use filesys::domain::{File, FileId, Status};

use crate::support::{Answer, TestApp};

fn ids(files: &[File]) -> Vec<FileId> {
    files.iter().map(|file| file.id).collect()
}

fn titles(files: &[File]) -> Vec<&str> {
    files.iter().map(|file| file.title.as_str()).collect()
}

#[tokio::test]
async fn the_newest_file_is_first() {
    let app = TestApp::start().await;
    assert_eq!(app.page("/files").await, (Vec::new(), None));
    for title in ["one", "two", "three"] {
        app.post_file(title).await;
    }
    let (files, next) = app.page("/files").await;
    assert_eq!(titles(&files), ["three", "two", "one"]);
    assert_eq!(next, None);
    app.stop().await;
}

#[tokio::test]
async fn pages_have_neither_gaps_nor_repetitions_while_new_files_arrive() {
    let app = TestApp::start().await;
    let asked = app.post_files((0..25).map(|n| format!("old {n}"))).await;
    let expected: BTreeSet<FileId> = asked.iter().map(|file| file.id).collect();
    let mut seen = Vec::new();
    let mut lengths = Vec::new();
    let mut next = Some("/files?limit=10".to_owned());
    while let Some(path) = next {
        let (page, following) = app.page(&path).await;
        lengths.push(page.len());
        seen.extend(ids(&page));
        next = following;
        app.post_files((0..7).map(|n| format!("new {n}"))).await;
    }
    assert_eq!(lengths, [10, 10, 5]);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    app.stop().await;
}

#[tokio::test]
async fn a_last_page_that_is_full_names_no_next_one() {
    let app = TestApp::start().await;
    app.post_files((0..4).map(|n| format!("file {n}"))).await;
    let (first, next) = app.page("/files?limit=2").await;
    let (second, end) = app.page(&next.expect("there are two more")).await;
    assert_eq!((first.len(), second.len(), end), (2, 2, None));
    app.stop().await;
}

#[tokio::test]
async fn the_next_page_keeps_what_the_list_was_narrowed_to() {
    let app = TestApp::start().await;
    for n in 0..6 {
        app.post_file(&format!("{} & {n}", if n % 2 == 0 { "even" } else { "odd" })).await;
    }
    app.wait_until_all_completed().await;
    let path = "/files?limit=2&status=completed&q=even%20%26";
    let (_, next) = app.page(path).await;
    let next = next.expect("there is one more");
    assert!(next.contains("status=completed") && next.contains("q=even"), "{next}");
    assert_eq!(titles(&app.all_files(path).await), ["even & 4", "even & 2", "even & 0"]);
    app.stop().await;
}

#[tokio::test]
async fn a_status_narrows_the_list() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let file = app.post_file("slow").await;
    app.wait_until(file.id, Status::Processing).await;
    for status in Status::ALL {
        let (files, _) = app.page(&format!("/files?status={}", status.name())).await;
        let expected: &[FileId] = if status == Status::Processing { &[file.id] } else { &[] };
        assert_eq!(ids(&files), expected, "{}", status.name());
    }
    assert_eq!(ids(&app.page("/files?status=").await.0), [file.id]);
    app.stop().await;
}

#[tokio::test]
async fn a_search_finds_a_part_of_a_title_in_any_case_and_takes_every_character_literally() {
    let app = TestApp::start().await;
    let all = ["100% done", "100x done", "snake_case", "snakeXcase", r"back\slash", "Größe"];
    for title in all {
        app.post_file(title).await;
    }
    for (query, found) in [
        ("100%25", &["100% done"] as &[&str]),
        ("%25", &["100% done"]),
        ("_", &["snake_case"]),
        ("snake_case", &["snake_case"]),
        ("%5C", &[r"back\slash"]),
        ("%5C%25", &[]),
        ("SNAKE", &["snakeXcase", "snake_case"]),
        ("gr%C3%B6%C3%9F", &["Größe"]),
        ("%27%20OR%201=1--", &[]),
        ("%20%20", &["Größe", r"back\slash", "snakeXcase", "snake_case", "100x done", "100% done"]),
    ] {
        let (files, _) = app.page(&format!("/files?q={query}")).await;
        assert_eq!(titles(&files), found, "q={query}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_page_has_50_files_unless_asked_otherwise_and_never_more_than_200() {
    let app = TestApp::start().await;
    app.post_files((0..51).map(|n| format!("file {n}"))).await;
    let (files, next) = app.page("/files").await;
    assert_eq!(files.len(), 50);
    assert!(next.is_some());
    assert_eq!(app.page("/files?limit=200").await.0.len(), 51);
    let refused: Answer = app.get("/files?limit=201").await;
    assert_eq!(refused.status, 400);
    app.stop().await;
}
