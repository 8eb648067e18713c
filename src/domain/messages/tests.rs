//! Tests of reading records, including those of other programs.

use serde_json::Value;

use super::file_create::CreateFile;
use super::file_created::{FileResult, Outcome};
use super::file_event::Sequence;
use super::{CompatEvent, CompatType, EventType, FileEvent, MessageError, named_file};
use crate::domain::files::{File, Format, NewFile, Status};
use crate::domain::{Attempt, EventId, FileId, Timestamp};

#[test]
fn the_source_systems_members_are_enough() {
    let json = br#"{"fileId":42,"title":"t","description":"d","timestamp":"2026-01-04T12:00:00.000Z","x":1}"#;
    let request = CreateFile::read(Some(json)).unwrap();
    assert_eq!((request.attempt, request.format), (Attempt::FIRST, Format::Txt));

    let json = br#"{"fileId":42,"status":"completed","s3Location":"s3://b/k"}"#;
    assert_eq!(FileResult::read(Some(json)).unwrap().attempt, None);
}

#[test]
fn a_value_that_breaks_a_rule_is_refused_with_its_cause() {
    for value in [
        &b""[..],
        b"[]",
        b"{",
        b"null",
        br#"[1,"t",null,"2026-01-04T12:00:00Z"]"#,
        &b"[".repeat(1 << 20),
        b"\xff\xfe",
        br#"{"fileId":-1,"title":"t","timestamp":"2026-01-04T12:00:00Z"}"#,
        br#"{"fileId":"1","title":"t","timestamp":"2026-01-04T12:00:00Z"}"#,
        br#"{"fileId":1,"title":"t","timestamp":"2026-01-04T12:00:00Z","attempt":-1}"#,
        br#"{"fileId":1,"title":"t","timestamp":"2026-01-04T12:00:00Z","attempt":1.5}"#,
        br#"{"fileId":1,"title":"t","timestamp":"2026-01-04T12:00:00Z","attempt":"2"}"#,
        br#"{"fileId":1,"title":"t","timestamp":"2026-01-04T12:00:00Z","format":"exe"}"#,
        br#"{"fileId":1,"title":"t","description":5,"timestamp":"2026-01-04T12:00:00Z"}"#,
        br#"{"fileId":1,"title":"caf\xe9","timestamp":"2026-01-04T12:00:00Z"}"#,
        b"{\"fileId\":1,\"title\":\"caf\xe9\",\"timestamp\":\"2026-01-04T12:00:00Z\"}",
    ] {
        assert!(
            CreateFile::read(Some(value)).is_err(),
            "{:?}",
            String::from_utf8_lossy(&value[..value.len().min(60)])
        );
    }
    assert!(matches!(CreateFile::read(None), Err(MessageError::Empty)));
    assert!(FileResult::read(Some(br#"{"fileId":1,"status":"completed"}"#)).is_err());
}

#[test]
fn what_does_not_decide_never_decides_over_a_result() {
    let base =
        FileResult::read(Some(br#"{"fileId":1,"status":"completed","s3Location":"s3://b/k"}"#)).unwrap();
    for more in [
        r#""durationMs":1e999"#,
        r#""durationMs":-5"#,
        r#""durationMs":[12]"#,
        r#""size":"much","sha256":5"#,
        r#""size":-1,"sha256":"ABC""#,
        r#""size":1e30,"size":null"#,
        r#""title":7,"timestamp":"yesterday""#,
        r#""timestamp":1767398400000"#,
        r#""worker":"","partition":"","offset":"","error":"""#,
        r#""worker":null,"partition":2147483648,"offset":-1"#,
        r#""partition":-1,"offset":9223372036854775808"#,
        r#""error":{"code":1},"unknown":{"deep":[[[[1e999]]]]}"#,
        r#""attempt":null"#,
        r#""attempt":"","x":"\ud800""#,
        r#""attempt":0"#,
    ] {
        let json = format!(r#"{{"fileId":1.0,"status":"completed","s3Location":"s3://b/k",{more}}}"#);
        assert_eq!(FileResult::read(Some(json.as_bytes())).unwrap(), base, "{more}");
    }
    let json = br#"{"fileId":1,"status":"completed","s3Location":"s3://b/k","durationMs":12.7,"size":"160"}"#;
    let read = FileResult::read(Some(json)).unwrap();
    assert_eq!((read.duration_ms, read.size), (Some(13), Some(160)));
    for (status, more) in [
        ("failed", r#""s3Location":"""#),
        ("failed", r#""s3Location":{},"size":-5,"sha256":[]"#),
        ("processing", r#""s3Location":"s3://another/x","error":5"#),
    ] {
        let json = format!(r#"{{"fileId":1,"status":"{status}",{more}}}"#);
        let read = FileResult::read(Some(json.as_bytes())).unwrap();
        assert_eq!((read.s3_location, read.size, read.sha256), (None, None, None), "{more}");
    }
}

#[test]
fn a_reason_is_kept_whatever_it_is_written_in() {
    let error = |value: &[u8]| {
        let json = [br#"{"fileId":1,"status":"failed","error":"#, value, b"}"].concat();
        FileResult::read(Some(&json)).unwrap().error
    };
    assert_eq!(error(b"\"caf\xe9\"").as_deref(), Some("caf\u{fffd}"));
    assert_eq!(error(br#""cut \ud83d""#).map(|text| text.starts_with("cut ")), Some(true));
    assert_eq!(error(br#"{"code":5}"#).as_deref(), Some(r#"{"code":5}"#));
    assert_eq!(error(b"\"\""), None);
}

#[test]
fn what_decides_over_a_result_is_strict() {
    for json in [
        r#"{"status":"failed"}"#,
        r#"{"fileId":"1","status":"failed"}"#,
        r#"{"fileId":1.5,"status":"failed"}"#,
        r#"{"fileId":9223372036854775808,"status":"failed"}"#,
        r#"{"fileId":1}"#,
        r#"{"fileId":1,"status":"FAILED"}"#,
        r#"{"fileId":1,"status":["failed"]}"#,
        r#"{"fileId":1,"status":"failed","attempt":-1}"#,
        r#"{"fileId":1,"status":"failed","attempt":2147483648}"#,
        r#"{"fileId":1,"status":"failed","attempt":"first"}"#,
        r#"{"fileId":1,"status":"completed","s3Location":""}"#,
        r#"{"fileId":1,"status":"completed","s3Location":5}"#,
        r#"[1,"t","s3://b/k","completed"]"#,
    ] {
        assert!(FileResult::read(Some(json.as_bytes())).is_err(), "{json}");
    }
}

#[test]
fn only_an_object_names_a_file() {
    let named = |json: &[u8]| named_file(Some(json)).map(|(id, attempt)| (id.0, attempt.map(|a| a.0)));
    assert_eq!(named(br#"{"fileId":62}"#), Some((62, None)));
    assert_eq!(named(b"\xef\xbb\xbf{\"fileId\":62,\"attempt\":2,\"title\":\"\xff\"}"), Some((62, Some(2))));
    assert_eq!(named(br#"{"fileId":62,"attempt":[1]}"#), Some((62, None)));
    for json in
        [&b"[62]"[..], b"62", b"[[62]]", b"{\"fileId\":[62]}", b"{\"fileId\":\"62\"}", b"{\"fileId\":62"]
    {
        assert_eq!(named(json), None, "{:?}", String::from_utf8_lossy(json));
    }
}

#[test]
fn a_result_is_written_as_the_contract_shows_it() {
    let result = FileResult {
        file_id: FileId(42),
        title: Some("t".into()),
        s3_location: None,
        status: Outcome::Failed,
        error: Some("why".into()),
        timestamp: serde_json::from_str("\"2026-01-04T12:00:00Z\"").unwrap(),
        attempt: Some(Attempt(3)),
        size: None,
        sha256: None,
        worker: None,
        partition: None,
        offset: None,
        duration_ms: None,
        proof: None,
    };
    assert_eq!(
        serde_json::to_string(&result).unwrap(),
        r#"{"fileId":42,"title":"t","s3Location":null,"status":"failed","error":"why","timestamp":"2026-01-04T12:00:00.000Z","attempt":3}"#
    );
}

fn completed_file() -> File {
    let mut file = NewFile::new(Some("Q&A: 1/2"), None, None).unwrap().to_file(FileId(42), Timestamp::now());
    file.status = Status::Completed;
    file.s3_location = Some("s3://bucket/files/42_q_a_1_2_1.txt".to_owned());
    (file.size, file.sha256, file.sequence) = (Some(182), Some("ab".to_owned()), 3);
    file.updated_at = "2026-01-03T00:00:01.500Z".parse().unwrap();
    file
}

#[test]
fn an_event_is_a_compact_cloud_event_with_these_members_in_this_order() {
    let file = completed_file();
    let event = FileEvent::new(EventId::nil(), EventType::ProcessingCompleted, &file, "");
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        concat!(
            r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000000","source":"filesys","#,
            r#""type":"file.processing_completed","subject":"42","time":"2026-01-03T00:00:01.500Z","#,
            r#""dataschema":"urn:filesys:schemas:file.events.data","sequence":"0000000003","#,
            r#""data":{"fileId":"42","fileName":"Q&A_ 1_2.txt","fileType":"text","status":"completed","#,
            r#""uploadedBy":null,"size":182,"mimetype":"text/plain; charset=utf-8","url":"/files/42/content","#,
            r#""storageKey":"files/42_q_a_1_2_1.txt","title":"Q&A: 1/2","#,
            r#""s3Location":"s3://bucket/files/42_q_a_1_2_1.txt","sha256":"ab","attempt":1,"error":null,"#,
            r#""origin":"generated"}}"#,
        )
    );
}

#[test]
fn addresses_in_an_event_are_absolute_where_the_service_knows_its_own() {
    let file = completed_file();
    let event = FileEvent::new(EventId::nil(), EventType::Deleted, &file, "https://files.example/x");
    let event = serde_json::to_value(&event).unwrap();
    assert_eq!(event["dataschema"], "https://files.example/x/schemas/file.events.data");
    assert_eq!(event["data"]["url"], "https://files.example/x/files/42/content");
}

#[test]
fn only_types_that_count_have_a_number() {
    let file = completed_file();
    let data = |event_type| {
        let event = FileEvent::new(EventId::nil(), event_type, &file, "").times(5);
        serde_json::to_value(&event).unwrap()["data"].clone()
    };
    for event_type in EventType::ALL {
        let data = data(event_type);
        let views = (event_type == EventType::Viewed).then_some(5);
        let downloads = (event_type == EventType::Downloaded).then_some(5);
        assert_eq!(
            (data.get("views").and_then(Value::as_i64), data.get("downloads").and_then(Value::as_i64)),
            (views, downloads)
        );
    }
}

#[test]
fn sequences_are_ordered_as_texts() {
    let text = |number| serde_json::to_value(Sequence(number)).unwrap().as_str().unwrap().to_owned();
    assert!(text(9) < text(10) && text(99_999) < text(100_000) && text(1) < text(9_999_999_999));
}

#[test]
fn a_record_of_the_third_source_system_has_these_members_in_this_order() {
    let file = completed_file();
    let at = "2026-01-03T00:00:02Z".parse().unwrap();
    let event = CompatEvent::new(CompatType::Downloaded, &file, at, "https://s3.example/bucket").unwrap();
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        format!(
            concat!(
                r#"{{"eventType":"DOWNLOADED","fileMetadata":{{"id":"42","filename":"Q&A_ 1_2.txt","#,
                r#""s3Key":"files/42_q_a_1_2_1.txt","s3Url":"https://s3.example/bucket/files/42_q_a_1_2_1.txt","#,
                r#""fileSize":182,"contentType":"text/plain; charset=utf-8","uploadedBy":null,"uploadedAt":{}}},"#,
                r#""timestamp":1767398402000}}"#,
            ),
            file.created_at.epoch_millis()
        )
    );
    let bare = File { s3_location: None, ..file };
    assert!(CompatEvent::new(CompatType::Deleted, &bare, at, "https://s3.example/bucket").is_none());
}
