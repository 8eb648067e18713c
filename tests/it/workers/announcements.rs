//! Announcements of a start: at once for a long job, together with the end for a short one.

use std::time::Duration;

use filesys::domain::messages::file_created::{FileResult, Outcome};
use filesys::domain::messages::topics;

use crate::support::roles::Roles;
use crate::support::{eventually, holds};

/// Results of workers in the order of one partition, with the times of their records.
async fn said(roles: &Roles) -> Vec<(FileResult, i64, i64)> {
    let records = roles.records(topics::CREATED).await;
    let said = records.iter().map(|record| {
        let result = serde_json::from_slice(record.record.value.as_deref().unwrap()).unwrap();
        (result, record.position.offset, record.timestamp_ms)
    });
    said.collect()
}

async fn both(roles: &Roles) -> [(FileResult, i64, i64); 2] {
    let both = eventually("start and end are told", async || {
        <[_; 2]>::try_from(said(roles).await).map_err(|said| format!("{said:?}"))
    })
    .await;
    assert_eq!([both[0].0.status, both[1].0.status], [Outcome::Processing, Outcome::Completed]);
    both
}

#[tokio::test]
async fn a_file_that_is_made_at_once_has_its_start_told_right_before_its_end() {
    let roles = Roles::new().await.with_intake().with_relay().with_worker().await;
    let id = roles.request("quick").await.id;
    let [(start, first, start_at), (end, second, end_at)] = both(&roles).await;
    assert_eq!((start.file_id, end.file_id, start.attempt), (id, id, end.attempt));
    assert_eq!(second, first + 1);
    assert!(end_at - start_at < 50, "told {} ms one after the other", end_at - start_at);
    assert!(start.timestamp <= end.timestamp);
    roles.stop().await;
}

#[tokio::test]
async fn a_file_that_takes_long_has_its_start_told_meanwhile_with_the_time_of_its_beginning() {
    let delay = Duration::from_secs(2);
    let roles = Roles::new().await.with_intake().with_relay().with_slow_worker(delay).await;
    roles.request("slow").await;
    eventually("the start is told, and no end", async || {
        let said = said(&roles).await;
        holds(said.len() == 1 && said[0].0.status == Outcome::Processing, said)
    })
    .await;
    let [(start, _, start_at), (_, _, end_at)] = both(&roles).await;
    let began = start.timestamp.expect("ours say when").as_datetime().timestamp_millis();
    assert!(start_at - began >= 100, "told {} ms after it began", start_at - began);
    assert!(end_at - start_at >= 1000, "told {} ms before its end", end_at - start_at);
    roles.stop().await;
}
