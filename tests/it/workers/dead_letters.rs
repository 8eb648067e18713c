//! Dead letters become rows, each of them once; a replay requests again, once; a record that can't become one is not lost.

use bytes::Bytes;
use filesys::actions::dead_letters::{self, Replayed};
use filesys::actions::files;
use filesys::broker::{Headers, Record};
use filesys::domain::dead_letters::dead_letter::Value;
use filesys::domain::messages::topics;
use filesys::domain::{Attempt, DeadLetter, DeadLetterId, DeadLetterState, File, FileId, Status};
use serde_json::{Value as Json, json};

use crate::support::records::header;
use crate::support::roles::{Roles, group_of};
use crate::support::{eventually, holds};

async fn replay(roles: &Roles, id: DeadLetterId) -> Result<Replayed, &'static str> {
    dead_letters::replay(&roles.ctx.dead_letters(), id).await.map_err(|error| error.code.name())
}

async fn discard(roles: &Roles, id: DeadLetterId) -> Result<(), &'static str> {
    dead_letters::discard(&roles.ctx.dead_letters(), id).await.map_err(|error| error.code.name())
}

async fn becomes(roles: &Roles, id: FileId, status: Status) -> File {
    eventually(&format!("file {id} becomes {}", status.name()), async || {
        let file = roles.file(id).await;
        if file.status == status { Ok(file) } else { Err(format!("{file:?}")) }
    })
    .await
}

/// File whose request could not be parsed, and its dead letter.
async fn failed(roles: &Roles) -> (File, DeadLetter) {
    let file = roles.request("broken").await;
    let value = json!({"fileId": file.id, "attempt": 1, "title": 7, "timestamp": "never"}).to_string();
    let at = roles.publish(topics::CREATE, Some(value.as_bytes())).await;
    let file = becomes(roles, file.id, Status::Failed).await;
    let dead_letter = roles.dead_letters("open", 1).await.remove(0);
    assert_eq!((dead_letter.file_id, dead_letter.attempt), (Some(file.id), Some(Attempt(1))));
    assert_eq!(dead_letter.value, Some(Value::Text(value)));
    let origin = dead_letter.origin.clone().unwrap();
    assert_eq!(
        (origin.topic.as_str(), origin.partition, origin.offset),
        (topics::CREATE, at.partition, at.offset)
    );
    assert!(dead_letter.error.contains("not a file.create message"), "{}", dead_letter.error);
    (file, dead_letter)
}

/// Roles without a relay: requests stay in the outbox.
async fn without_relay() -> Roles {
    Roles::new().await.with_results().await.with_dead_letters().await.with_worker().await.with_intake()
}

#[tokio::test]
async fn a_replayed_request_makes_the_file_once_however_often_it_is_replayed() {
    let roles = without_relay().await;
    let (file, dead_letter) = failed(&roles).await;
    // Its own request of attempt 1 is not what makes it.
    roles.database.connect().await.batch_execute("DELETE FROM outbox").await.unwrap();
    let all = futures_util::future::join_all((0..4).map(|_| replay(&roles, dead_letter.id))).await;
    let asked = Replayed::AskedAgain { file_id: file.id, attempt: Attempt(2) };
    assert_eq!(all.iter().filter(|one| **one == Ok(asked)).count(), 1, "{all:?}");
    assert_eq!(all.iter().filter(|one| **one == Ok(Replayed::Before)).count(), 3, "{all:?}");
    let again = roles.file(file.id).await;
    assert_eq!((again.status, again.attempt, again.error), (Status::Pending, Attempt(2), None));

    let roles = roles.with_relay();
    let done = becomes(&roles, file.id, Status::Completed).await;
    assert_eq!(done.attempt, Attempt(2));
    assert_eq!(roles.bucket.keys().await.len(), 1);
    assert_eq!(replay(&roles, dead_letter.id).await, Ok(Replayed::Before));
    let [settled] = roles.dead_letters("replayed", 1).await.try_into().unwrap();
    assert!(settled.settled_at.is_some());
    assert_eq!(discard(&roles, dead_letter.id).await, Err("letter_settled"));
    assert_eq!(roles.file(file.id).await, done);
    roles.stop().await;
}

#[tokio::test]
async fn a_request_whose_file_got_further_without_it_is_not_made_again() {
    let roles = without_relay().await;
    let (file, dead_letter) = failed(&roles).await;
    files::retry(&roles.ctx, file.id).await.unwrap();
    let superseded = |status| Ok(Replayed::Superseded { file_id: file.id, status });
    assert_eq!(replay(&roles, dead_letter.id).await, superseded(Status::Pending));
    let pending = roles.file(file.id).await;
    assert_eq!((pending.status, pending.attempt), (Status::Pending, Attempt(2)));
    roles.stop().await;
}

#[tokio::test]
async fn a_request_of_a_file_that_may_still_be_made_stays_open_and_one_of_a_deleted_file_is_erased() {
    use filesys::actions::files;
    let roles = without_relay().await;
    let (file, dead_letter) = failed(&roles).await;
    let set = |status: &str| format!("UPDATE files SET status = '{status}' WHERE id = {}", file.id);
    let connection = roles.database.connect().await;
    // As long as the failure is not recorded yet.
    connection.batch_execute(&set("processing")).await.unwrap();
    assert_eq!(replay(&roles, dead_letter.id).await, Err("letter_not_replayable"));
    assert_eq!(roles.dead_letters("open", 1).await.len(), 1);
    files::delete(&roles.ctx, file.id).await.unwrap();
    assert_eq!(replay(&roles, dead_letter.id).await, Err("letter_not_replayable"));
    let erased = roles.dead_letters("discarded", 1).await.remove(0);
    assert_eq!((erased.value, erased.error.as_str()), (None, "(deleted)"));
    assert_eq!(discard(&roles, dead_letter.id).await, Ok(()));
    assert_eq!(discard(&roles, dead_letter.id).await, Ok(()));
    assert_eq!(roles.dead_letters("discarded", 1).await.len(), 1);
    assert_eq!(replay(&roles, DeadLetterId(77)).await, Err("letter_not_found"));
    assert_eq!(discard(&roles, DeadLetterId(77)).await, Err("letter_not_found"));
    roles.stop().await;
}

#[tokio::test]
async fn a_discarded_dead_letter_may_be_replayed_all_the_same() {
    let roles = without_relay().await;
    let (file, dead_letter) = failed(&roles).await;
    discard(&roles, dead_letter.id).await.unwrap();
    assert_eq!(roles.file(file.id).await.status, Status::Failed);
    let asked = Replayed::AskedAgain { file_id: file.id, attempt: Attempt(2) };
    assert_eq!(replay(&roles, dead_letter.id).await, Ok(asked));
    assert_eq!(roles.dead_letters("all", 1).await[0].state, DeadLetterState::Replayed);
    roles.stop().await;
}

#[tokio::test]
async fn a_result_that_came_before_its_file_completes_it_when_replayed() {
    let roles = Roles::new().await.with_results().await.with_dead_letters().await;
    let key = "files/1_by_hand_1.txt";
    roles.bucket.put(key, b"made").await;
    let location = format!("s3://{}/{key}", roles.bucket.name());
    let result = json!({"fileId": 1, "status": "completed", "s3Location": location}).to_string();
    roles.publish(topics::CREATED, Some(result.as_bytes())).await;
    let dead_letter = roles.dead_letters("open", 1).await.remove(0);
    assert!(dead_letter.error.contains("there is no file with id 1"), "{}", dead_letter.error);
    assert_eq!((dead_letter.file_id, dead_letter.attempt), (Some(FileId(1)), None));

    let roles = roles.with_intake();
    let file = roles.request("by hand").await;
    assert_eq!(file.id, FileId(1));
    let published = Replayed::Published { topic: topics::CREATED };
    assert_eq!(replay(&roles, dead_letter.id).await, Ok(published));
    assert_eq!(replay(&roles, dead_letter.id).await, Ok(Replayed::Before));
    let roles = roles.with_relay();
    let done = becomes(&roles, file.id, Status::Completed).await;
    assert_eq!(done.s3_location, Some(location));
    roles.wait_until_all_is_committed(topics::CREATED).await;
    let completions = roles.ctx.db.files().history(file.id).await.unwrap();
    assert_eq!(completions.iter().filter(|line| line.to == Status::Completed).count(), 1);
    roles.stop().await;
}

#[tokio::test]
async fn a_dead_letter_keeps_headers_that_repeat_and_those_without_a_value() {
    let roles = Roles::new().await.with_worker().await.with_dead_letters().await;
    let mut headers = Headers::from([("z", "last"), ("a", "1"), ("a", "2")]);
    headers.push("b", None);
    headers.push("bytes", Some(Bytes::from_static(b"\xff\0")));
    headers.push("x-error", Some(Bytes::from_static(b"of another letter")));
    let bad = Record { key: None, value: Some(Bytes::from_static(b"not json")), headers };
    roles.broker.publish(topics::CREATE, vec![bad]).await.remove(0).unwrap();
    let [dead_letter] = roles.dead_letters("open", 1).await.try_into().unwrap();
    let shown: Vec<Json> = dead_letter.header_list.iter().map(|header| serde_json::json!(header)).collect();
    let expected = serde_json::json!([
        {"name": "z", "value": "last"},
        {"name": "a", "value": "1"},
        {"name": "a", "value": "2"},
        {"name": "b", "value": null},
        {"name": "bytes", "value": null, "value_base64": "/wA="},
    ]);
    assert_eq!(Json::from(shown), expected);
    let text = |name: &str| dead_letter.headers.get(name).map(String::as_str);
    assert_eq!((text("a"), text("b"), text("bytes")), (Some("2"), Some(""), Some("\u{fffd}\u{fffd}")));
    let [on_topic] = roles.records(topics::DEAD_LETTERS).await.try_into().unwrap();
    let own: Vec<_> = on_topic.record.headers.iter().take(5).collect();
    let bytes = |text: &'static [u8]| Bytes::from_static(text);
    let (last, one, two, odd) = (bytes(b"last"), bytes(b"1"), bytes(b"2"), bytes(b"\xff\0"));
    let expected =
        [("z", Some(&last)), ("a", Some(&one)), ("a", Some(&two)), ("b", None), ("bytes", Some(&odd))];
    assert_eq!(own, expected);
    assert!(header(&on_topic, "x-error").contains("not a file.create message"));
    assert_eq!(on_topic.record.headers.iter().filter(|(name, _)| *name == "x-error").count(), 1);
    roles.stop().await;
}

#[tokio::test]
async fn dead_letters_that_name_no_file_are_stored_byte_by_byte() {
    let roles = Roles::new().await.with_worker().await.with_dead_letters().await.with_relay();
    for value in [None, Some(&b"not json"[..]), Some(b"\0\xff\xfe"), Some(br#"{"fileId":7}"#)] {
        roles.publish(topics::CREATE, value).await;
    }
    // Put there by others, who say nothing, or what can't be stored as it is.
    let odd = [("x-error", "a\0b"), ("na\0me", "\0"), ("x-letter-id", "7"), ("x-attempt", "many")];
    let headers = odd.map(|(name, value)| (name.to_owned(), Bytes::from_static(value.as_bytes())));
    let foreign = Record { value: Some(Bytes::from_static(b"theirs")), headers: headers.into(), key: None };
    for record in [foreign.clone(), Record { headers: Headers::default(), ..foreign }] {
        roles.broker.publish(topics::DEAD_LETTERS, vec![record]).await.remove(0).unwrap();
    }
    let dead_letters = roles.dead_letters("open", 6).await;
    let of = |value: Option<Value>| {
        dead_letters.iter().filter(|dead_letter| dead_letter.value == value).cloned().collect::<Vec<_>>()
    };
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let [empty] = of(None).try_into().unwrap();
    assert_eq!((empty.size, empty.error.as_str()), (None, "the record has no value"));
    let [bytes] = of(Some(Value::Bytes(b"\0\xff\xfe".to_vec()))).try_into().unwrap();
    assert_eq!(bytes.file_id, None);
    let [named] = of(text(r#"{"fileId":7}"#)).try_into().unwrap();
    assert_eq!(named.file_id, Some(FileId(7)));
    let mut theirs = of(text("theirs"));
    theirs.sort_by(|a, b| a.error.cmp(&b.error));
    let errors: Vec<&str> = theirs.iter().map(|dead_letter| dead_letter.error.as_str()).collect();
    assert_eq!(errors, ["a\u{fffd}b", "the letter does not say why"]);
    assert_eq!((theirs[0].origin.as_ref(), theirs[0].attempt), (None, None));
    // librdkafka ends a name at U+0000.
    let mut headers = theirs[0].headers.iter();
    assert!(headers.any(|(name, value)| name.starts_with("na") && value == "\u{fffd}"), "{:?}", theirs[0]);

    for dead_letter in [&empty, &theirs[0]] {
        assert_eq!(replay(&roles, dead_letter.id).await, Err("letter_not_replayable"));
    }
    // What still can't be parsed comes back as another dead letter.
    let [poison] = of(text("not json")).try_into().unwrap();
    assert_eq!(replay(&roles, poison.id).await, Ok(Replayed::Published { topic: topics::CREATE }));
    let open = roles.dead_letters("open", 6).await;
    assert_ne!(open[0].id, poison.id);
    assert_eq!((&open[0].value, &open[0].error), (&poison.value, &poison.error));
    roles.stop().await;
}

#[tokio::test]
async fn a_dead_letter_read_twice_is_stored_once_and_one_of_a_recreated_topic_is_stored_too() {
    let roles = Roles::new().await.with_worker().await;
    let at = roles.publish(topics::CREATE, Some(b"not json")).await;
    roles.wait_until_all_is_committed(topics::CREATE).await;
    let dead_letter = roles.records(topics::DEAD_LETTERS).await.remove(0).record;
    // As after a crash between the row and the commit of its offset.
    roles.broker.publish(topics::DEAD_LETTERS, vec![dead_letter]).await.remove(0).unwrap();
    let roles = roles.with_dead_letters().await;
    roles.wait_until_all_is_committed(topics::DEAD_LETTERS).await;
    let first = roles.dead_letters("all", 1).await.remove(0);
    let database = roles.stop().await;

    // A Kafka that lost everything numbers from the beginning, and gets the same bytes: one for each partition.
    let roles = Roles::on(database, &[]).await.with_worker().await.with_dead_letters().await;
    for _ in 0..3 {
        roles.publish(topics::CREATE, Some(b"not json")).await;
    }
    let all = roles.dead_letters("open", 4).await;
    let same: Vec<&DeadLetter> =
        all.iter().filter(|dead_letter| dead_letter.origin == first.origin).collect();
    assert_eq!(same.len(), 2, "{all:#?}");
    assert_eq!((same[1], &same[0].value), (&first, &first.value));
    assert_eq!(first.origin.as_ref().map(|origin| origin.offset), Some(at.offset));
    roles.stop().await;
}

#[tokio::test]
async fn while_dead_letters_can_not_be_written_their_offsets_stay_and_nothing_is_dropped() {
    let roles = Roles::without_topics(&[topics::DEAD_LETTERS]).await;
    let roles = roles.with_results().await.with_worker().await.with_intake();
    let poison = roles.publish(topics::CREATE, Some(b"not json")).await;
    // Others of its partition are done, and after that one of another partition: with its offset theirs would be
    // committed too, were there none that waits before them.
    let mut behind = 0;
    let mut file = roles.request("a neighbour").await;
    let beside = loop {
        let value = json!({"fileId": file.id, "title": "a neighbour", "timestamp": file.created_at});
        let at = roles.publish(topics::CREATE, Some(value.to_string().as_bytes())).await;
        becomes(&roles, file.id, Status::Completed).await;
        if at.partition == poison.partition {
            behind += 1;
        } else if behind > 0 {
            break at;
        }
        file = roles.request("a neighbour").await;
    };
    let committed = async || roles.broker.committed(&group_of(topics::CREATE), topics::CREATE).await.unwrap();
    eventually("the other partition is committed", async || {
        let committed = committed().await;
        holds(committed.get(&beside.partition) == Some(&(beside.offset + 1)), committed)
    })
    .await;
    let waits = committed().await.get(&poison.partition).copied().unwrap_or(poison.offset);
    assert_eq!(waits, poison.offset, "{behind} behind it are done");

    roles.make_topics().await;
    roles.wait_until_all_is_committed(topics::CREATE).await;
    let roles = roles.with_dead_letters().await;
    let dead_letter = roles.dead_letters("open", 1).await.remove(0);
    assert_eq!(dead_letter.value, Some(Value::Text("not json".to_owned())));
    roles.stop().await;
}

#[tokio::test]
async fn a_request_is_dead_lettered_before_its_file_fails_and_once_however_often_that_is_tried() {
    let roles = Roles::without_topics(&[topics::CREATED]).await.with_worker().await.with_intake();
    let file = roles.request("of which nobody hears").await;
    let value = json!({"fileId": file.id, "title": 7}).to_string();
    roles.publish(topics::CREATE, Some(value.as_bytes())).await;
    // It can't be said that the file failed, so the request stays open; but it is not lost, whoever has it next.
    let dead_letters = eventually("it is dead-lettered twice", async || {
        let dead_letters = roles.records(topics::DEAD_LETTERS).await;
        if dead_letters.len() > 1 { Ok(dead_letters) } else { Err(format!("{dead_letters:#?}")) }
    })
    .await;
    assert_eq!(dead_letters[0].record, dead_letters[1].record);
    let committed = roles.broker.committed(&group_of(topics::CREATE), topics::CREATE).await.unwrap();
    assert!(committed.values().all(|next| *next == 0), "{committed:?}");

    roles.make_topics().await;
    let roles = roles.with_results().await.with_dead_letters().await;
    becomes(&roles, file.id, Status::Failed).await;
    roles.wait_until_all_is_committed(topics::CREATE).await;
    roles.wait_until_all_is_committed(topics::DEAD_LETTERS).await;
    assert_eq!(roles.dead_letters("open", 1).await[0].file_id, Some(file.id));
    roles.stop().await;
}

#[tokio::test]
async fn while_the_database_is_unavailable_dead_letters_wait() {
    let roles = Roles::new().await.with_worker().await.with_dead_letters().await;
    roles.database.cut_off().await;
    roles.publish(topics::CREATE, Some(b"not json")).await;
    roles.wait_until_all_is_committed(topics::CREATE).await;
    assert_eq!(roles.records(topics::DEAD_LETTERS).await.len(), 1);
    roles.database.let_in().await;
    assert_eq!(roles.dead_letters("open", 1).await.len(), 1);
    roles.wait_until_all_is_committed(topics::DEAD_LETTERS).await;
    roles.stop().await;
}

#[tokio::test]
async fn a_cancelled_file_is_requested_again_by_its_dead_letter() {
    let roles = without_relay().await;
    let (file, dead_letter) = failed(&roles).await;
    files::retry(&roles.ctx, file.id).await.unwrap();
    files::cancel(&roles.ctx, file.id).await.unwrap();
    let asked = Replayed::AskedAgain { file_id: file.id, attempt: Attempt(3) };
    assert_eq!(replay(&roles, dead_letter.id).await, Ok(asked));
    roles.stop().await;
}

#[tokio::test]
async fn a_record_too_long_for_a_dead_letter_blocks_no_other() {
    let roles = Roles::new().await.with_worker().await.with_dead_letters().await;
    // As long as a record may be, in Kafka or in process: with the cause it would be longer.
    let mut longest = [(1 << 20) - 100, 1_000_000].into_iter();
    let (size, at) = loop {
        let size = longest.next().expect("one of them is not too long");
        let record = Record { value: Some(vec![b'['; size].into()), ..Record::default() };
        if let Ok(at) = roles.broker.publish(topics::CREATE, vec![record]).await.remove(0) {
            break (size, at);
        }
    };
    roles.wait_until_all_is_committed(topics::CREATE).await;
    let dead_letter = roles.dead_letters("open", 1).await.remove(0);
    assert_eq!((dead_letter.value, dead_letter.origin.map(|origin| origin.offset)), (None, Some(at.offset)));
    assert!(dead_letter.error.contains(&format!("{size} bytes is too long")), "{}", dead_letter.error);
    assert!(dead_letter.error.contains("not a file.create message"), "{}", dead_letter.error);
    roles.stop().await;
}
