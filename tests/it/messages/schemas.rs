//! The schemas say of each message what it is, and another validator reads them as ours does.

use std::io::Write as _;
use std::process::{Command, Stdio};

use filesys::domain::messages::{EventType, FileEvent, MessageSchema};
use filesys::domain::{EventId, FileId, NewFile, Timestamp};
use serde_json::{Value, json};

use crate::support::json_schema::{problems, unknown_members};
use crate::support::roles::Roles;
use crate::support::{TestApp, not_run};

fn event() -> Value {
    let file = NewFile::new(Some("titled"), None, None).unwrap().to_file(FileId(7), Timestamp::now());
    let event = FileEvent::new(EventId::now_v7(), EventType::Viewed, &file, "https://files.example").times(3);
    serde_json::to_value(&event).unwrap()
}

fn request() -> Value {
    json!({"fileId": 1, "title": "t", "timestamp": "2026-01-03T00:00:00.000Z"})
}

fn result() -> Value {
    json!({"fileId": 1, "status": "completed", "s3Location": "s3://b/files/1_t.txt"})
}

/// Changes one member, which `/` separates from those that it is in; `None` removes it.
fn with(mut message: Value, path: &str, value: Option<Value>) -> Value {
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent =
        parents.split('/').filter(|part| !part.is_empty()).fold(&mut message, |at, part| &mut at[part]);
    match value {
        Some(value) => parent[name] = value,
        None => drop(parent.as_object_mut().unwrap().remove(name).expect("it is there")),
    }
    message
}

/// Messages with whether they are as their schema says.
fn samples() -> Vec<(MessageSchema, Value, bool)> {
    use MessageSchema::{FileCreate, FileCreated, FileEvents, FileEventsData};
    let mut samples = vec![
        (FileEvents, event(), true),
        (FileEventsData, event()["data"].clone(), true),
        (FileCreate, request(), true),
        (FileCreated, result(), true),
        (FileCreated, json!({"fileId": 1, "status": "failed"}), true),
        (FileCreated, json!({"fileId": 1, "status": "completed"}), false),
        (FileEvents, json!([]), false),
    ];
    let changed = |schema, message: &dyn Fn() -> Value, path, value, is_valid| {
        (schema, with(message(), path, value), is_valid)
    };
    for (path, value, is_valid) in [
        ("specversion", Some(json!("1.1")), false),
        ("source", Some(json!("other")), false),
        ("id", Some(json!("7")), false),
        ("type", Some(json!("file.unheard_of")), false),
        ("subject", Some(json!(7)), false),
        ("subject", Some(json!("07")), false),
        ("sequence", Some(json!(3)), false),
        ("sequence", Some(json!("3")), false),
        ("time", Some(json!("yesterday")), false),
        ("dataschema", Some(json!("/schemas/file.events.data")), false),
        ("dataschema", None, false),
        ("data", None, false),
        ("data/fileId", Some(json!(7)), false),
        ("data/status", Some(json!("good")), false),
        ("data/size", Some(json!(-1)), false),
        ("data/size", Some(json!(1.5)), false),
        ("data/sha256", Some(json!("AB")), false),
        ("data/s3Location", Some(json!("/b/k")), false),
        ("data/views", Some(json!(0)), false),
        ("data/views", None, true),
        ("data/error", None, false),
        ("data/attempt", Some(json!(0)), false),
        ("another", Some(json!(1)), true),
    ] {
        samples.push(changed(FileEvents, &event, path, value, is_valid));
    }
    for (path, value, is_valid) in [
        ("title", None, false),
        ("title", Some(json!(7)), false),
        ("fileId", Some(json!("1")), false),
        ("fileId", Some(json!(0)), false),
        ("timestamp", None, false),
        ("description", Some(json!(null)), true),
        ("attempt", Some(json!(2)), true),
        ("format", Some(json!("exe")), false),
    ] {
        samples.push(changed(FileCreate, &request, path, value, is_valid));
    }
    for (path, value, is_valid) in [
        ("s3Location", Some(json!(null)), false),
        ("status", Some(json!("done")), false),
        ("size", Some(json!(-1)), false),
        ("attempt", Some(json!(null)), true),
    ] {
        samples.push(changed(FileCreated, &result, path, value, is_valid));
    }
    samples
}

#[test]
fn a_schema_accepts_its_messages_and_refuses_others() {
    for (schema, message, is_valid) in samples() {
        let found = problems(&schema.json(), &message);
        assert_eq!(found.is_empty(), is_valid, "{}: {message}: {found:?}", schema.name());
    }
}

/// Python's library, with the checks of formats that it has without further packages.
const PROGRAM: &str = r"
import json, sys
from jsonschema import Draft202012Validator, FormatChecker
for schema, message in json.load(sys.stdin):
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    print(int(validator.is_valid(message)))
";

#[test]
fn another_validator_comes_to_the_same_answers() {
    let python = |program| {
        let mut command = Command::new("python3");
        command.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    if !python("import jsonschema").output().is_ok_and(|output| output.status.success()) {
        return not_run("Python has no jsonschema");
    }
    // Formats of which its checkers are separate packages.
    let formats = ["date-time", "uri"];
    let samples = samples();
    let input: Vec<(Value, &Value)> =
        samples.iter().map(|(schema, message, _)| (schema.json(), message)).collect();
    let mut child = python(PROGRAM).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&input).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<bool> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line == "1").collect();
    assert_eq!(answers.len(), samples.len());
    for ((schema, message, is_valid), answer) in samples.into_iter().zip(answers) {
        let found = problems(&schema.json(), &message);
        let is_format = found
            .iter()
            .any(|problem| formats.iter().any(|name| problem.contains(&format!("format {name:?}"))));
        assert!(answer == is_valid || is_format, "{}: {message}: {answer}", schema.name());
    }
}

#[test]
fn the_schema_of_data_is_the_one_that_events_name_and_contain() {
    let data = MessageSchema::FileEventsData;
    let inside = MessageSchema::FileEvents.json()["properties"]["data"].clone();
    for keyword in ["properties", "required", "type"] {
        assert_eq!(inside[keyword], data.json()[keyword]);
    }
    let file = NewFile::new(Some("titled"), None, None).unwrap().to_file(FileId(7), Timestamp::now());
    let event = FileEvent::new(EventId::now_v7(), EventType::Requested, &file, "");
    assert_eq!(serde_json::to_value(&event).unwrap()["dataschema"], data.id());
}

#[tokio::test]
async fn requests_and_results_are_as_the_schemas_say() {
    // Without a consumer of what is read: the broker in memory forgets what its group has done.
    let requests = Roles::new().await.with_intake().with_relay();
    request_and_check(&requests, MessageSchema::FileCreate, 3).await;
    requests.stop().await;
    let results = Roles::new().await.with_intake().with_relay().with_worker().await;
    request_and_check(&results, MessageSchema::FileCreated, 6).await;
    results.stop().await;
}

/// Requests three files, waits for `count` records and checks them.
async fn request_and_check(roles: &Roles, schema: MessageSchema, count: usize) {
    for n in 0..3 {
        roles.request(&format!("file {n}")).await;
    }
    roles.wait_until_published(schema.name(), count).await;
    for delivery in roles.records(schema.name()).await {
        let message = serde_json::from_slice(delivery.record.value.as_deref().unwrap()).unwrap();
        assert_eq!(problems(&schema.json(), &message), [""; 0], "{message}");
        assert_eq!(unknown_members(&schema.json(), &message), [""; 0], "{message}");
    }
}

#[test]
fn every_example_of_the_documentation_is_as_its_schema_says() {
    let text = include_str!("../../../docs/EVENTS.md");
    for schema in MessageSchema::ALL.into_iter().filter(|schema| *schema != MessageSchema::FileEventsData) {
        let (_, section) = text.split_once(&format!("### `{}`", schema.name())).unwrap();
        let (block, _) = section.split_once("```json\n").unwrap().1.split_once("```").unwrap();
        assert!(!block.is_empty());
        for line in block.lines() {
            let message: Value = serde_json::from_str(line).unwrap();
            assert_eq!(problems(&schema.json(), &message), [""; 0], "{line}");
            assert_eq!(unknown_members(&schema.json(), &message), [""; 0], "{line}");
        }
    }
}

#[tokio::test]
async fn schemas_are_listed_and_served() {
    let app = TestApp::start().await;
    let list: Vec<Value> = app.get("/schemas").await.ok().json();
    assert_eq!(list.len(), MessageSchema::ALL.len());
    for (line, schema) in list.iter().zip(MessageSchema::ALL) {
        assert_eq!((&line["name"], &line["id"]), (&json!(schema.name()), &json!(schema.id())));
        let answer = app.get(line["url"].as_str().unwrap()).await.ok();
        assert_eq!(answer.header("content-type"), Some("application/schema+json"));
        assert_eq!(answer.json::<Value>(), schema.json());
        let tag = answer.header("etag").unwrap();
        assert_eq!(app.get_with(line["url"].as_str().unwrap(), "if-none-match", tag).await.status, 304);
    }
    let missing = app.get("/schemas/file.nothing").await;
    assert_eq!((missing.status, missing.problem()["code"].as_str()), (404, Some("not_found")));
    app.stop().await;
}
