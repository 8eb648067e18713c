//! Trials in Kafka: records that were lost, doubled, dropped or never committed. They stay, so each trial counts what is
//! new.

use rskafka::record::Record;
use serde_json::{Value, json};
use uuid::Uuid;

use super::pen::{Pen, record, with_event};
use super::{Failure, Lab};
use crate::verify::log::{CREATE, CREATED, DEAD_LETTERS, EVENTS, Place};
use crate::verify::message::{fact, request};

const NOBODY: i64 = 900_000;
/// Bytes that no consumer can read.
const POISON: &[u8] = b"poison";

pub(super) async fn trials(lab: &mut Lab<'_>) -> Result<(), Failure> {
    let pen = Pen::of(&lab.evidence).await?;
    requests(lab, &pen).await?;
    results(lab, &pen).await?;
    facts(lab, &pen).await?;
    letters(lab, &pen).await
}

async fn requests(lab: &mut Lab<'_>, pen: &Pen) -> Result<(), Failure> {
    let one = lab.victims.one.id;
    let is_own =
        move |record: &Record| request(record.value.as_deref()).is_ok_and(|asked| asked.file_id == one);
    let own = pen.find(CREATE, is_own).await?;

    pen.append_done(CREATE, own.clone()).await?;
    lab.next("a request came twice, which does no harm", &[]).await;
    let place = pen.append(CREATE, own.clone()).await?;
    lab.next("a record is not committed", &["not-committed"]).await;
    pen.commit(CREATE, place).await?;

    pen.append_done(CREATE, with_event(own.clone(), &Uuid::now_v7().to_string())).await?;
    lab.next("a request was announced twice", &["request-twice"]).await;
    pen.append_done(CREATE, altered(&own, "description", json!("another"))?).await?;
    lab.next("a request asks for another content", &["request-differs"]).await;

    pen.append_done(CREATE, record(POISON, &[])).await?;
    lab.next("a request that can't be read was skipped", &["poison-without-letter"]).await;

    let asked = json!({"fileId": NOBODY, "title": "t", "timestamp": "2026-01-03T00:00:00.000Z"});
    pen.append_done(CREATE, record(asked.to_string().as_bytes(), &[])).await?;
    lab.next("a request was committed and never answered", &["request-unanswered"]).await;
    Ok(())
}

async fn results(lab: &mut Lab<'_>, pen: &Pen) -> Result<(), Failure> {
    let one = lab.victims.one.id;
    let foreign =
        json!({"fileId": one, "status": "completed", "s3Location": "s3://elsewhere/x", "attempt": 1});
    pen.append_done(CREATED, record(foreign.to_string().as_bytes(), &[])).await?;
    lab.next("a result names what is not ours and was skipped", &["poison-without-letter"]).await;

    let own = lab.victims.one.key.clone();
    let location = format!("s3://{}/{own}", lab.evidence.bucket);
    let repeated = json!({"fileId": one, "status": "completed", "s3Location": location, "attempt": 1});
    pen.append_done(CREATED, record(repeated.to_string().as_bytes(), &[])).await?;
    lab.next("a result came twice, which does no harm", &[]).await;
    Ok(())
}

async fn facts(lab: &mut Lab<'_>, pen: &Pen) -> Result<(), Failure> {
    let one = lab.victims.one.id;
    let is_own = move |record: &Record| {
        fact(record.value.as_deref()).is_ok_and(|fact| fact.file_id == one && fact.sequence == 2)
    };
    let own = pen.find(EVENTS, is_own).await?;
    pen.append(EVENTS, own.clone()).await?;
    lab.next("a fact came twice, which does no harm", &[]).await;

    let id = Uuid::now_v7().to_string();
    pen.append(EVENTS, with_event(altered(&own, "id", json!(id))?, &id)).await?;
    lab.next("a fact has two ids", &["fact-twice"]).await;
    pen.append(EVENTS, altered(&own, "type", json!("file.deleted"))?).await?;
    lab.next("a fact tells another change", &["fact-differs"]).await;
    pen.append(EVENTS, altered(&own, "sequence", json!(99))?).await?;
    lab.next("a fact tells a change that never was", &["fact-without-change"]).await;
    pen.append(EVENTS, record(POISON, &[])).await?;
    lab.next("a fact can't be read", &["fact-unreadable"]).await;
    Ok(())
}

async fn letters(lab: &mut Lab<'_>, pen: &Pen) -> Result<(), Failure> {
    let poison = pen.append_done(CREATE, record(POISON, &[])).await?;
    let other = pen.append_done(CREATE, record(b"\xff", &[])).await?;
    lab.next("two more requests were skipped", &["poison-without-letter"]).await;

    pen.append_done(DEAD_LETTERS, record(POISON, &[("x-error", "why".to_owned())])).await?;
    lab.next("a dead letter does not say where it is from", &["letter-says-too-little"]).await;

    let said = |place| said(Uuid::new_v4(), place);
    pen.append_done(DEAD_LETTERS, record(POISON, &said(poison))).await?;
    lab.next("a dead letter was not kept", &["letter-not-kept"]).await;

    pen.append_done(DEAD_LETTERS, record(POISON, &said(other))).await?;
    lab.next("a dead letter has other bytes", &["letter-not-kept", "letter-bytes-differ"]).await;

    let nowhere = (poison.0, other.1 + 1000);
    pen.append_done(DEAD_LETTERS, record(POISON, &said(nowhere))).await?;
    lab.next("a dead letter is of no record", &["letter-not-kept", "letter-of-nothing"]).await;

    let bad = json!({"fileId": lab.victims.one.id, "attempt": 1, "title": 7}).to_string();
    let place = pen.append_done(CREATE, record(bad.as_bytes(), &[])).await?;
    pen.append_done(DEAD_LETTERS, record(bad.as_bytes(), &said(place))).await?;
    let expected = ["letter-not-kept", "letter-without-failure"];
    lab.next("a request was put aside and its file not failed", &expected).await;

    kept_wrongly(lab, pen, poison).await
}

/// The row of a dead letter is there and has other bytes.
async fn kept_wrongly(lab: &mut Lab<'_>, pen: &Pen, place: Place) -> Result<(), Failure> {
    let id = Uuid::new_v4();
    let letter = record(POISON, &said(id, place));
    pen.append_done(DEAD_LETTERS, letter.clone()).await?;
    let (partition, offset) = place;
    let sql = format!(
        "INSERT INTO dead_letters (letter_id, kafka_partition, kafka_offset, original_topic, original_partition,
                original_offset, value, headers, error, received_at)
         VALUES ('{id}', 0, 0, 'file.create', {partition}, {offset}, '\\xff', '{{}}', 'why', now())"
    );
    lab.client.batch_execute(&sql).await?;
    lab.next("a dead letter was kept with other bytes", &["letter-kept-wrongly"]).await;
    let mend = format!("UPDATE dead_letters SET value = 'poison' WHERE letter_id = '{id}'");
    lab.client.batch_execute(&mend).await?;
    pen.append_done(DEAD_LETTERS, letter).await?;
    lab.next("a dead letter came twice, which does no harm", &[]).await;
    lab.client.batch_execute(&format!("DELETE FROM dead_letters WHERE letter_id = '{id}'")).await?;
    Ok(())
}

/// With another value of one member.
fn altered(record: &Record, member: &str, value: Value) -> Result<Record, Failure> {
    let mut message: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
    message[member] = value;
    Ok(Record { value: Some(message.to_string().into_bytes()), ..record.clone() })
}

/// What a dead letter says of itself.
fn said(id: Uuid, (partition, offset): Place) -> [(&'static str, String); 5] {
    [
        ("x-error", "why".to_owned()),
        ("x-letter-id", id.to_string()),
        ("x-original-topic", CREATE.to_owned()),
        ("x-original-partition", partition.to_string()),
        ("x-original-offset", offset.to_string()),
    ]
}

impl Lab<'_> {
    /// Looks like `see`; what is found now is known from here on. What does no harm must be counted as a duplicate.
    async fn next(&mut self, broke: &'static str, expected: &[&str]) {
        let (verdict, found) = self.see(broke, expected).await;
        self.before.extend(found);
        let counted = verdict.counted.duplicate_deliveries;
        let more = counted.saturating_sub(std::mem::replace(&mut self.duplicates, counted));
        if let Some(trial) = self.trials.last_mut().filter(|_| expected.is_empty() && more == 0) {
            trial.reported.push("no duplicate was counted".to_owned());
            trial.passed = false;
        }
    }
}
