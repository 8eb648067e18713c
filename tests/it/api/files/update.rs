//! Changing what people say of a file, by JSON Merge Patch (RFC 7396).

use filesys::actions::Guard;
use filesys::actions::files::{self, update_if};
use filesys::domain::files::FilePatch;
use filesys::domain::messages::topics;
use filesys::domain::{File, FileId, Status};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{delete, upload};
use crate::support::events;
use crate::support::roles::Roles;
use crate::support::{Answer, TestApp};

const MERGE_PATCH: (&str, &str) = ("content-type", "application/merge-patch+json");

async fn patch_with(app: &TestApp, id: FileId, headers: &[(&str, &str)], body: &str) -> Answer {
    let request = app.request(Method::PATCH, &format!("/files/{id}")).body(body.to_owned());
    Answer::of(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

async fn patch(app: &TestApp, id: FileId, body: &Value) -> Answer {
    patch_with(app, id, &[MERGE_PATCH], &body.to_string()).await
}

#[tokio::test]
async fn members_that_are_there_change_and_all_others_stay() {
    let app = TestApp::start().await;
    let fields =
        [("title", "Old"), ("description", "d"), ("tags", "a,b"), ("folder", "x"), ("uploaded_by", "7")];
    let file = upload(&app, "a.txt", "text/plain", "content", &fields).await;
    let changes = json!({
        "title": " New ", "file_name": "../b.md", "tags": ["c"], "folder": null, "related_post_id": "9",
        "uploaded_by": "8", "size": 1, "unknown": [],
    });
    let answer = patch(&app, file.id, &changes).await.ok();
    let changed: File = answer.json();
    let about = &changed.attributes;
    assert_eq!((&*changed.title, changed.description.as_deref()), ("New", Some("d")));
    assert_eq!((about.file_name.as_deref(), &*about.tags), (Some("b.md"), &["c".to_owned()][..]));
    assert_eq!((&about.folder, about.related_post_id.as_deref()), (&None, Some("9")));
    assert_eq!((about.uploaded_by.as_deref(), changed.size), (Some("7"), file.size));
    assert_eq!((&changed.s3_location, changed.status), (&file.s3_location, Status::Completed));
    assert!(changed.updated_at > file.updated_at);
    assert_eq!(app.file(file.id).await, changed);
    let record = app.get(&format!("/files/{}", file.id)).await.ok();
    assert_eq!(record.header("etag"), answer.header("etag"));
    assert_eq!(record.header("last-modified"), answer.header("last-modified"));

    let content = app.content(file.id).await.ok();
    assert_eq!(content.body, "content");
    assert!(content.header("content-disposition").unwrap().contains("filename=\"b.md\""));
    let found = async |path: &str| app.page(path).await.0.len();
    assert_eq!((found("/files?q=New").await, found("/files?q=Old").await), (1, 0));
    assert_eq!(app.timeline(file.id).await.len(), 2, "its status did not change");
    app.stop().await;
}

#[tokio::test]
async fn a_file_that_was_made_can_be_changed_and_keeps_its_object() {
    let app = TestApp::start().await;
    let file = app.completed_file("before").await;
    let named = json!({"title": "after", "file_name": "own.name", "tags": "a"});
    let refused = patch(&app, file.id, &named).await;
    assert_eq!((refused.status, &refused.problem()["errors"][0]["pointer"]), (422, &json!("/tags")));
    let changed: File = patch(&app, file.id, &json!({"title": "after", "tags": ["a"]})).await.ok().json();
    assert_eq!((&*changed.title, &changed.s3_location), ("after", &file.s3_location));
    let content = app.content(file.id).await.ok();
    assert!(content.text().contains("Title: before"));
    assert!(content.header("content-disposition").unwrap().contains("filename=\"after.txt\""));
    app.stop().await;
}

#[tokio::test]
async fn a_change_on_a_condition_that_does_not_hold_is_refused() {
    let app = TestApp::start().await;
    let file = app.completed_file("kept").await;
    let tag = app.get(&format!("/files/{}", file.id)).await.header("etag").unwrap().to_owned();
    let body = json!({"title": "other"}).to_string();
    for condition in [("if-match", "\"stale\""), ("if-none-match", "*")] {
        let refused = patch_with(&app, file.id, &[MERGE_PATCH, condition], &body).await;
        assert_eq!((refused.status, &refused.problem()["code"]), (412, &json!("precondition_failed")));
    }
    assert_eq!(app.file(file.id).await, file);
    let patches = (0..8).map(|n| {
        let (app, tag) = (&app, &tag);
        let body = json!({"title": format!("other {n}")}).to_string();
        async move { patch_with(app, file.id, &[MERGE_PATCH, ("if-match", tag)], &body).await.status }
    });
    let mut answers = join_all(patches).await;
    answers.sort_unstable();
    assert_eq!(answers, [200, 412, 412, 412, 412, 412, 412, 412]);
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_patch_is_refused() {
    let app = TestApp::start().await;
    let file = app.completed_file("kept").await;
    for content_type in
        ["text/plain", "application/json-patch+json", "application/merge-patch+json; charset=latin1"]
    {
        let refused = patch_with(&app, file.id, &[("content-type", content_type)], "{}").await;
        assert_eq!((refused.status, &refused.problem()["code"]), (415, &json!("unsupported_media_type")));
        assert_eq!(refused.header("accept-patch"), Some("application/merge-patch+json"), "{content_type}");
    }
    for body in ["", "null", "[]", "\"title\"", "{\"title\": \"a\"", "{} {}"] {
        let refused = patch_with(&app, file.id, &[MERGE_PATCH], body).await;
        assert_eq!((refused.status, &refused.problem()["code"]), (400, &json!("malformed_json")), "{body}");
    }
    for (body, pointer) in [
        (json!({"title": null}), "/title"),
        (json!({"title": 7}), "/title"),
        (json!({"description": "\0"}), "/description"),
        (json!({"file_name": []}), "/file_name"),
        (json!({"tags": [["a"]]}), "/tags"),
        (json!({"folder": "../x"}), "/folder"),
    ] {
        let refused = patch(&app, file.id, &body).await;
        assert_eq!(
            (refused.status, &refused.problem()["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{body}"
        );
    }
    assert_eq!(patch(&app, FileId(1_000_000), &json!({})).await.status, 404);
    assert_eq!(app.file(file.id).await, file);
    assert_eq!(patch_with(&app, file.id, &[("content-type", "application/json")], "{}").await.status, 200);

    assert_eq!(delete(&app, file.id).await.status, 204);
    let gone = patch(&app, file.id, &json!({"title": "back"})).await;
    assert_eq!((gone.status, &gone.problem()["code"]), (410, &json!("file_deleted")));
    app.stop().await;
}

async fn change(roles: &Roles, id: FileId, body: &Value) -> File {
    let patch = FilePatch::from_json(body.as_object().unwrap()).unwrap();
    update_if(&roles.ctx, id, patch, Guard::none()).await.unwrap()
}

#[tokio::test]
async fn each_change_is_told_once_and_no_change_is_not() {
    let roles = Roles::new().await.with_intake().with_relay();
    let id = roles.request("first").await.id;
    for body in [
        json!({"title": "second", "folder": "a"}),
        json!({"title": "second"}),
        json!({"folder": " /a/ ", "tags": null}),
        json!({}),
        json!({"title": "third"}),
    ] {
        change(&roles, id, &body).await;
    }
    roles.wait_until_published(topics::EVENTS, 3).await;
    let told: Vec<Value> = roles.records(topics::EVENTS).await.iter().map(events::event).collect();
    let told: Vec<_> = told
        .iter()
        .map(|event| {
            [&event["type"], &event["sequence"], &event["data"]["title"]].map(|text| text.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ["file.requested", "0000000001", "first"],
            ["file.updated", "0000000002", "second"],
            ["file.updated", "0000000003", "third"],
        ]
    );
    roles.stop().await;
}

#[tokio::test]
async fn what_is_made_under_the_old_title_meanwhile_is_removed() {
    let roles = Roles::new().await.with_intake();
    let file = roles.request("before").await;
    change(&roles, file.id, &json!({"title": "after"})).await;
    change(&roles, file.id, &json!({"description": "the key stays"})).await;
    files::cancel(&roles.ctx, file.id).await.unwrap();
    change(&roles, file.id, &json!({"title": "nobody makes it now"})).await;
    let millis = file.created_at.as_datetime().timestamp_millis();
    let key = |title: &str| (file.id, format!("files/{}_{title}_{millis}.txt", file.id));
    let mut queued = roles.ctx.db.object_removals().queued_for(vec![file.id]).await.unwrap();
    queued.sort();
    assert_eq!(queued, [key("after"), key("before")]);
    roles.stop().await;
}
