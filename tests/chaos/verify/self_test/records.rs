//! Trials in Kafka: records that are lost, doubled, dropped or never committed. Records stay, so each trial looks at new
//! violations only.

use rskafka::record::Record;
use serde_json::{Value, json};
use uuid::Uuid;

use super::writer::{LogWriter, record, with_event};
use super::{Failure, SelfTest};
use crate::verify::log::{CREATE, CREATED, DEAD_LETTERS, EVENTS, Place};
use crate::verify::message::{file_event, request};

const UNKNOWN_FILE: i64 = 900_000;
/// Bytes that no consumer can read.
const POISON: &[u8] = b"poison";

pub(super) async fn trials(test: &mut SelfTest<'_>) -> Result<(), Failure> {
    let writer = LogWriter::of(&test.evidence).await?;
    requests(test, &writer).await?;
    results(test, &writer).await?;
    events(test, &writer).await?;
    dead_letters(test, &writer).await
}

async fn requests(test: &mut SelfTest<'_>, writer: &LogWriter) -> Result<(), Failure> {
    let one = test.subjects.one.id;
    let is_own =
        move |record: &Record| request(record.value.as_deref()).is_ok_and(|asked| asked.file_id == one);
    let own = writer.find(CREATE, is_own).await?;

    writer.append_done(CREATE, own.clone()).await?;
    test.next("a request came twice, which does no harm", &[]).await;
    let place = writer.append(CREATE, own.clone()).await?;
    test.next("a record is not committed", &["not-committed"]).await;
    writer.commit(CREATE, place).await?;

    writer.append_done(CREATE, with_event(own.clone(), &Uuid::now_v7().to_string())).await?;
    test.next("a request was announced twice", &["request-twice"]).await;
    writer.append_done(CREATE, altered(&own, "description", json!("another"))?).await?;
    test.next("a request asks for another content", &["request-differs"]).await;

    writer.append_done(CREATE, record(POISON, &[])).await?;
    test.next("a request that can't be read was skipped", &["poison-without-dead-letter"]).await;

    let asked = json!({"fileId": UNKNOWN_FILE, "title": "t", "timestamp": "2026-01-03T00:00:00.000Z"});
    writer.append_done(CREATE, record(asked.to_string().as_bytes(), &[])).await?;
    test.next("a request was committed and never answered", &["request-unanswered"]).await;
    Ok(())
}

async fn results(test: &mut SelfTest<'_>, writer: &LogWriter) -> Result<(), Failure> {
    let one = test.subjects.one.id;
    let foreign =
        json!({"fileId": one, "status": "completed", "s3Location": "s3://elsewhere/x", "attempt": 1});
    writer.append_done(CREATED, record(foreign.to_string().as_bytes(), &[])).await?;
    test.next("a result names what is not ours and was skipped", &["poison-without-dead-letter"]).await;

    let own = test.subjects.one.key.clone();
    let location = format!("s3://{}/{own}", test.evidence.bucket);
    let repeated = json!({"fileId": one, "status": "completed", "s3Location": location, "attempt": 1});
    writer.append_done(CREATED, record(repeated.to_string().as_bytes(), &[])).await?;
    test.next("a result came twice, which does no harm", &[]).await;
    Ok(())
}

async fn events(test: &mut SelfTest<'_>, writer: &LogWriter) -> Result<(), Failure> {
    let one = test.subjects.one.id;
    let is_own = move |record: &Record| {
        file_event(record.value.as_deref()).is_ok_and(|event| event.file_id == one && event.sequence == 2)
    };
    let own = writer.find(EVENTS, is_own).await?;
    writer.append(EVENTS, own.clone()).await?;
    test.next("an event came twice, which does no harm", &[]).await;

    let id = Uuid::now_v7().to_string();
    writer.append(EVENTS, with_event(altered(&own, "id", json!(id))?, &id)).await?;
    test.next("an event has two ids", &["event-twice"]).await;
    writer.append(EVENTS, altered(&own, "type", json!("file.deleted"))?).await?;
    test.next("an event tells another change", &["event-differs"]).await;
    writer.append(EVENTS, altered(&own, "sequence", json!("0000000099"))?).await?;
    test.next("an event tells a change that never was", &["event-without-change"]).await;
    writer.append(EVENTS, record(POISON, &[])).await?;
    test.next("an event can't be read", &["event-unreadable"]).await;
    Ok(())
}

async fn dead_letters(test: &mut SelfTest<'_>, writer: &LogWriter) -> Result<(), Failure> {
    let poison = writer.append_done(CREATE, record(POISON, &[])).await?;
    let other = writer.append_done(CREATE, record(b"\xff", &[])).await?;
    test.next("two more requests were skipped", &["poison-without-dead-letter"]).await;

    writer.append_done(DEAD_LETTERS, record(POISON, &[("x-error", "why".to_owned())])).await?;
    test.next("a dead letter does not say where it is from", &["dead-letter-incomplete"]).await;

    let with_origin = |place| origin_headers(Uuid::new_v4(), place);
    writer.append_done(DEAD_LETTERS, record(POISON, &with_origin(poison))).await?;
    test.next("a dead letter was not stored", &["dead-letter-not-stored"]).await;

    writer.append_done(DEAD_LETTERS, record(POISON, &with_origin(other))).await?;
    test.next("a dead letter has other bytes", &["dead-letter-not-stored", "dead-letter-bytes-differ"]).await;

    let nowhere = (poison.0, other.1 + 1000);
    writer.append_done(DEAD_LETTERS, record(POISON, &with_origin(nowhere))).await?;
    test.next("a dead letter is of no record", &["dead-letter-not-stored", "dead-letter-without-record"])
        .await;

    let bad = json!({"fileId": test.subjects.one.id, "attempt": 1, "title": 7}).to_string();
    let place = writer.append_done(CREATE, record(bad.as_bytes(), &[])).await?;
    writer.append_done(DEAD_LETTERS, record(bad.as_bytes(), &with_origin(place))).await?;
    let expected = ["dead-letter-not-stored", "dead-letter-without-failure"];
    test.next("a request was dead-lettered and its file did not fail", &expected).await;

    stored_wrongly(test, writer, poison).await
}

/// The row of a dead letter is there and has other bytes.
async fn stored_wrongly(test: &mut SelfTest<'_>, writer: &LogWriter, place: Place) -> Result<(), Failure> {
    let id = Uuid::new_v4();
    let dead_letter = record(POISON, &origin_headers(id, place));
    writer.append_done(DEAD_LETTERS, dead_letter.clone()).await?;
    let (partition, offset) = place;
    let sql = format!(
        "INSERT INTO dead_letters (letter_id, kafka_partition, kafka_offset, original_topic, original_partition,
                original_offset, value, headers, error, received_at)
         VALUES ('{id}', 0, 0, 'file.create', {partition}, {offset}, '\\xff', '{{}}', 'why', now())"
    );
    test.client.batch_execute(&sql).await?;
    test.next("a dead letter was stored with other bytes", &["dead-letter-stored-wrongly"]).await;
    let repair = format!("UPDATE dead_letters SET value = 'poison' WHERE letter_id = '{id}'");
    test.client.batch_execute(&repair).await?;
    writer.append_done(DEAD_LETTERS, dead_letter).await?;
    test.next("a dead letter came twice, which does no harm", &[]).await;
    test.client.batch_execute(&format!("DELETE FROM dead_letters WHERE letter_id = '{id}'")).await?;
    Ok(())
}

/// Copies a record with another value of one member.
fn altered(record: &Record, member: &str, value: Value) -> Result<Record, Failure> {
    let mut message: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
    message[member] = value;
    Ok(Record { value: Some(message.to_string().into_bytes()), ..record.clone() })
}

/// Headers of a dead letter that say where its record came from.
fn origin_headers(id: Uuid, (partition, offset): Place) -> [(&'static str, String); 5] {
    [
        ("x-error", "why".to_owned()),
        ("x-letter-id", id.to_string()),
        ("x-original-topic", CREATE.to_owned()),
        ("x-original-partition", partition.to_string()),
        ("x-original-offset", offset.to_string()),
    ]
}

impl SelfTest<'_> {
    /// Verifies like `expect`, and knows what was found from then on. Without a violation a duplicate must be counted.
    async fn next(&mut self, broke: &'static str, expected: &[&str]) {
        let (verified, found) = self.expect(broke, expected).await;
        self.before.extend(found);
        let counted = verified.counted.duplicate_deliveries;
        let more = counted.saturating_sub(std::mem::replace(&mut self.duplicates, counted));
        if let Some(trial) = self.trials.last_mut().filter(|_| expected.is_empty() && more == 0) {
            trial.reported.push("no duplicate was counted".to_owned());
            trial.passed = false;
        }
    }
}
