//! Erasure and retention: the texts of a deleted file are in no table any more, and old rows are deleted as the settings say.

use filesys::domain::{File, FileId, Status};
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestApp, eventually, holds};

async fn delete(app: &TestApp, id: FileId) {
    assert_eq!(Answer::of(app.request(Method::DELETE, &format!("/files/{id}"))).await.status, 204);
}

/// Returns all rows of all tables as text.
async fn all_rows(app: &TestApp) -> String {
    const ROWS: &str = "
        SELECT string_agg(line, E'\\n') FROM (
            SELECT files::text FROM files UNION ALL SELECT transitions::text FROM transitions
            UNION ALL SELECT dead_letters::text FROM dead_letters
            UNION ALL SELECT encode(value, 'escape') FROM dead_letters UNION ALL SELECT idempotency_keys::text FROM idempotency_keys
            UNION ALL SELECT object_removals::text FROM object_removals
            UNION ALL SELECT encode(value, 'escape') FROM outbox WHERE parked_at IS NOT NULL) AS rows (line)";
    app.ground.database.one(ROWS).await
}

#[tokio::test]
async fn what_a_deleted_file_was_about_is_in_no_table() {
    let app = TestApp::start().await;
    let body = json!({"title": "Ludwig's secret", "description": "told by Ludwig"});
    let kept: File = app.post(&json!({"title": "kept"})).await.json();
    let request = app.request(Method::POST, "/files").header("idempotency-key", "once").json(&body);
    let file: File = Answer::of(request).await.json();
    app.wait_until_completed(file.id).await;
    let late =
        format!(r#"{{"fileId":{},"status":"failed","error":"Ludwig","size":"x","worker":7}}"#, file.id);
    app.publish("file.created", &late).await;
    let broken = app.broken_file().await;
    app.publish("file.create", &format!(r#"{{"fileId":{broken},"title":"Ludwig","timestamp":"<never>"}}"#))
        .await;
    eventually("Ludwig is in a dead letter", async || {
        let rows = all_rows(&app).await;
        holds(rows.contains("Ludwig") && rows.matches("\"Ludwig\"").count() > 0, rows)
    })
    .await;
    let completed = app.file(file.id).await;
    for id in [file.id, broken] {
        delete(&app, id).await;
    }
    eventually("the object is removed", async || {
        let left: i64 = app.ground.database.one("SELECT count(*) FROM object_removals").await;
        holds(left == 0, left)
    })
    .await;
    let rows = all_rows(&app).await;
    assert!(!rows.contains("Ludwig") && !rows.contains("ludwig"), "{rows}");

    let erased = app.file(file.id).await;
    assert_eq!((erased.title.as_str(), &erased.description, &erased.error), ("(deleted)", &None, &None));
    assert_eq!((erased.id, erased.created_at), (completed.id, completed.created_at));
    assert_eq!((erased.size, erased.sha256), (completed.size, completed.sha256));
    assert!(erased.erased_at.is_some());
    assert_eq!(app.page("/files?status=deleted&q=ludwig").await.0, []);
    assert_eq!(app.page("/files?status=deleted").await.0.len(), 2);
    for line in app.timeline(broken).await {
        assert!(line.error.is_none_or(|error| error == "(deleted)"), "no text is left");
    }
    // The key still means this file.
    let again = app.request(Method::POST, "/files").header("idempotency-key", "once").json(&body);
    let again = Answer::of(again).await;
    assert_eq!((again.status, again.json::<File>().id), (201, file.id));
    // A dead letter that is stored after the deletion is erased as well.
    app.publish("file.create", &format!(r#"{{"fileId":{broken},"title":"Ludwig again"}}"#)).await;
    let path = format!("/dead-letters?state=all&file_id={broken}");
    app.dead_letters(&path, 3).await;
    assert!(!all_rows(&app).await.contains("Ludwig"));
    assert_eq!(app.file(kept.id).await.title, "kept");
    app.stop().await;
}

#[tokio::test]
async fn files_that_were_deleted_before_there_was_an_erasure_are_erased() {
    let app = TestApp::start_with(&[("HISTORY_RETENTION", "5s")]).await;
    let sql =
        "INSERT INTO files (title, description, deadline_at, status) VALUES ('old', 'text', now(), 'deleted')
               RETURNING id";
    let id = FileId(app.ground.database.one(sql).await);
    eventually("it is erased", async || {
        let file = app.file(id).await;
        holds(file.title == "(deleted)" && file.description.is_none() && file.erased_at.is_some(), file)
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn what_is_older_than_the_settings_want_it_kept_is_forgotten() {
    let kept = [("DEAD_LETTER_RETENTION", "1s"), ("HISTORY_RETENTION", "1s"), ("DELETED_RETENTION", "1s")];
    let app = TestApp::start_with(&kept).await;
    let (finished, deleted) = (app.completed_file("a").await.id, app.completed_file("b").await.id);
    let broken = app.broken_file().await;
    let open = app.dead_letters("/dead-letters", 1).await[0]["id"].clone();
    app.broken_file().await;
    let discarded = app.dead_letters("/dead-letters", 2).await[0]["id"].clone();
    assert_ne!(open, discarded);
    assert_eq!(app.act(&format!("/dead-letters/{discarded}/discard")).await.status, 204);
    delete(&app, deleted).await;
    eventually("old rows are forgotten", async || {
        let gone = app.get(&format!("/files/{deleted}")).await.status;
        let lines = app.timeline(finished).await.len() + app.timeline(broken).await.len();
        let dead_letter = app.get(&format!("/dead-letters/{discarded}")).await.status;
        holds((gone, lines, dead_letter) == (404, 0, 404), (gone, lines, dead_letter))
    })
    .await;
    assert_eq!(app.get(&format!("/dead-letters/{open}")).await.status, 200, "what is open stays");
    assert_eq!(app.file(finished).await.status, Status::Completed);
    assert_eq!(app.stats().await.deleted, 0);
    app.stop().await;
}

#[tokio::test]
async fn a_list_is_bounded_and_says_what_it_left_out() {
    let app = TestApp::start().await;
    let long = "ö\u{1}".repeat(20_000);
    let sql = "INSERT INTO files (title, description, deadline_at, status, s3_location)
               SELECT 'long ' || n, repeat(U&'\\00f6\\0001', 20000), now(), 'completed', 's3://b/k'
               FROM generate_series(1, 210) AS n RETURNING id";
    app.ground.database.connect().await.query(sql, &[]).await.unwrap();
    let page = app.get("/files?limit=200").await.ok();
    assert!(page.body.len() <= 256 << 10, "{} bytes", page.body.len());
    let files: Vec<File> = page.json();
    assert!(files.len() < 200 && page.header("link").is_some());
    let description = files[0].description.as_deref().unwrap();
    assert!(files[0].description_truncated && long.starts_with(description));
    assert_eq!(description.chars().count(), 500);
    let whole = app.file(files[0].id).await;
    assert_eq!((whole.description.as_deref(), whole.description_truncated), (Some(&*long), false));
    let all = app.all_files("/files?limit=200").await;
    assert_eq!(all.len(), 210, "nothing is skipped");
    assert!(app.get("/?limit=200").await.ok().body.len() < 1 << 20);
    app.stop().await;
}
