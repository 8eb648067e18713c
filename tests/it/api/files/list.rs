//! The list: newest first, page by page while it grows, filtered by status and title.

use std::collections::BTreeSet;

use filesys::domain::{File, FileId, Status};

use super::{delete, upload};
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

#[tokio::test]
async fn filters_narrow_the_list_to_files_that_have_all_of_it() {
    let app = TestApp::start().await;
    app.completed_file("made").await;
    for (name, media_type, fields) in [
        ("a.png", "image/png", &[("tags", "red,big"), ("folder", "x/y"), ("uploaded_by", "7")] as &[_]),
        ("b.png", "image/png", &[("tags", "red"), ("folder", "x")]),
        ("c.txt", "text/plain", &[("tags", "big"), ("folder", "x"), ("uploaded_by", "7")]),
        ("gone.png", "image/png", &[("tags", "red"), ("folder", "x"), ("uploaded_by", "7")]),
    ] {
        let file = upload(&app, name, media_type, "content", fields).await;
        // Its own bytes decide about the type elsewhere.
        let file_type = filesys::domain::FileType::of_media_type(media_type).name();
        let sql = format!("UPDATE files SET file_type = '{file_type}' WHERE id = {}", file.id);
        app.ground.database.connect().await.batch_execute(&sql).await.unwrap();
        if name == "gone.png" {
            assert_eq!(delete(&app, file.id).await.status, 204);
        }
    }
    for (query, expected) in [
        ("type=image", &["b.png", "a.png"] as &[&str]),
        ("type=text", &["c.txt", "made"]),
        ("type=video", &[]),
        ("origin=generated", &["made"]),
        ("origin=uploaded", &["c.txt", "b.png", "a.png"]),
        ("origin=generated&type=image", &[]),
        ("tag=red", &["b.png", "a.png"]),
        ("tag=Red", &[]),
        ("tag=red&owner=7", &["a.png"]),
        ("folder=x", &["c.txt", "b.png"]),
        ("folder=%2Fx%2Fy%2F", &["a.png"]),
        ("owner=7", &["c.txt", "a.png"]),
        ("owner=%207", &["c.txt", "a.png"]),
        ("owner=7&type=text&tag=big&folder=x&origin=uploaded&status=completed&q=C", &["c.txt"]),
        ("owner=7&q=a.png", &["a.png"]),
        ("owner=7&status=failed", &[]),
        ("type=&origin=&tag=&folder=&owner=", &["c.txt", "b.png", "a.png", "made"]),
    ] {
        let (files, _) = app.page(&format!("/files?{query}")).await;
        assert_eq!(titles(&files), expected, "{query}");
    }
    for query in
        ["type=picture", "origin=Uploaded", "tag=a,b", "folder=..", "owner=%00", "type=image&type=text"]
    {
        let refused = app.get(&format!("/files?{query}")).await;
        assert_eq!((refused.status, &refused.problem()["code"]), (400, &"invalid_query".into()), "{query}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_next_page_keeps_the_filters() {
    let app = TestApp::start().await;
    for n in 0..5 {
        let tag = if n % 2 == 0 { "even & more" } else { "odd" };
        let fields = [("tags", tag), ("folder", "a/\u{e9}"), ("uploaded_by", "x=y")];
        upload(&app, &format!("{n}.txt"), "text/plain", "content", &fields).await;
    }
    let path = "/files?limit=2&tag=even%20%26%20more&folder=a/%C3%A9&owner=x%3Dy&origin=uploaded";
    assert_eq!(app.page(path).await.0.len(), 2);
    assert_eq!(titles(&app.all_files(path).await), ["4.txt", "2.txt", "0.txt"]);
    app.stop().await;
}
