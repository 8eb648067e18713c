//! Requests that can't be processed are dead-lettered once, with their cause; their neighbours are not affected.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use filesys::broker::TopicSpec;
use filesys::domain::messages::file_created::{FileResult, Outcome};
use filesys::domain::messages::topics;
use filesys::domain::{File, Status};

use crate::support::records::{header, origin};
use crate::support::roles::{Roles, group_of};
use crate::support::{eventually, eventually_within, holds};

/// Unprocessable requests, and a part of the reason that is given for each.
const POISON: [(Option<&[u8]>, &str); 14] = [
    (None, "no value"),
    (Some(b""), "no value"),
    (Some(b"not json"), "not a file.create message"),
    (Some(b"{"), "not a file.create message"),
    (Some(b"null"), "not a file.create message"),
    (Some(b"[]"), "not a file.create message"),
    (Some(b"\xff\xfe\x00"), "not a file.create message"),
    (Some(b"{}"), "fileId is missing"),
    (Some(br#"{"fileId":"one","title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "not a whole number"),
    (Some(br#"{"fileId":-1,"title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "not positive"),
    (Some(br#"{"fileId":1.5,"title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "not a whole number"),
    (Some(br#"{"fileId":0,"title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "not positive"),
    (Some(br#"{"fileId":-7,"title":7,"timestamp":"yesterday"}"#), "not positive"),
    (Some(br#"{"title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "fileId is missing"),
];

#[tokio::test]
async fn poison_among_good_requests_is_dead_lettered_once_and_its_neighbours_complete() {
    let roles = Roles::new().await.with_results().await.with_worker().await.with_intake().with_relay();
    let mut published = BTreeMap::new();
    let mut asked = Vec::new();
    for (n, (value, cause)) in POISON.iter().enumerate() {
        asked.push(roles.request(&format!("file {n}")).await.id);
        published.insert(roles.publish(topics::CREATE, *value).await, (*value, *cause));
    }
    for id in asked {
        eventually("a neighbour completes", async || {
            let file = roles.file(id).await;
            holds(file.status == Status::Completed, file)
        })
        .await;
    }
    roles.wait_until_all_is_committed(topics::CREATE).await;

    let dead_letters = roles.records(topics::DEAD_LETTERS).await;
    assert_eq!(dead_letters.len(), POISON.len(), "{dead_letters:#?}");
    for dead_letter in &dead_letters {
        let (value, cause) = published.remove(&origin(dead_letter)).expect("dead-lettered once");
        // A record without a value stays without one.
        assert_eq!(dead_letter.record.value.as_deref(), value);
        assert!(
            header(dead_letter, "x-error").contains(cause),
            "{cause:?} is not in {:?}",
            header(dead_letter, "x-error")
        );
    }
    assert!(published.is_empty());
    assert_eq!(roles.bucket.keys().await.len(), POISON.len());
    roles.stop().await;
}

/// Defaults of `WORKER_CONCURRENCY` and `WORKER_MAX_ATTEMPTS`: the tries of one file take seconds.
const AS_SHIPPED: (usize, u32) = (16, 5);
/// Time limit of the contract by which unprocessable records may delay a good request.
const DELAY: Duration = Duration::from_secs(1);

async fn publish_requests(roles: &Roles, titles: impl Iterator<Item = String>) -> Vec<File> {
    let asked = titles.map(|title| async move { roles.request(&title).await });
    let asked = futures_util::future::join_all(asked).await;
    let round = filesys::jobs::relay_outbox::relay_once(&roles.ctx).await.unwrap();
    // With the fact of each.
    assert_eq!(round.published, 2 * asked.len());
    asked
}

/// Times at which files were completed, by the offset of their request.
async fn completions(roles: &Roles) -> BTreeMap<i64, Duration> {
    let records = roles.records(topics::CREATED).await;
    let results = records.iter().map(|record| {
        let value = record.record.value.as_deref().expect("a result has a value");
        let at = Duration::from_millis(record.timestamp_ms.try_into().unwrap());
        (serde_json::from_slice::<FileResult>(value).unwrap(), at)
    });
    let completed = results.filter(|(result, _)| result.status == Outcome::Completed);
    completed.map(|(result, at)| (result.offset.expect("ours say where"), at)).collect()
}

// A panic that is written down with its backtrace holds up its thread.
#[tokio::test(flavor = "multi_thread")]
async fn poison_among_a_thousand_good_requests_delays_none_of_them_by_a_second() {
    const GOOD: usize = 1000;
    /// Number of files before all unprocessable records: they show how long this machine takes.
    const FIRST: usize = 200;
    // One partition, so that every good request has poison before it.
    let roles = Roles::without_topics(&[topics::CREATE]).await.with_intake();
    let spec = TopicSpec { name: topics::CREATE.to_owned(), partitions: 1 };
    roles.broker.ensure_topics(&[spec]).await.unwrap();
    let deep = vec![b'['; 900_000];
    let mut poison: Vec<Option<&[u8]>> = POISON.iter().map(|(value, _)| *value).collect();
    poison.insert(POISON.len() / 2, Some(&deep));
    let part = (GOOD - FIRST).div_ceil(poison.len());
    publish_requests(&roles, (0..FIRST).map(|n| format!("file {n}"))).await;
    let (mut put_aside, mut panicking) = (BTreeSet::new(), Vec::new());
    for (n, value) in poison.iter().enumerate() {
        let numbers = FIRST + n * part..GOOD.min(FIRST + (n + 1) * part);
        publish_requests(&roles, numbers.map(|n| format!("file {n}"))).await;
        put_aside.insert(roles.publish(topics::CREATE, *value).await);
        // Only this build has a title over which the worker panics.
        if cfg!(feature = "chaos") && n % 3 == 0 {
            panicking.extend(publish_requests(&roles, std::iter::once(format!("[panic] {n}"))).await);
        }
    }

    let roles = roles.with_worker_of(AS_SHIPPED.0, AS_SHIPPED.1).await;
    let all = i64::try_from(GOOD + poison.len() + panicking.len()).unwrap();
    eventually_within(Duration::from_mins(3), "every request is done with", async || {
        let committed = roles.broker.committed(&group_of(topics::CREATE), topics::CREATE).await;
        let committed = committed.map_err(|error| error.to_string())?;
        holds(committed.get(&0) == Some(&all), committed)
    })
    .await;

    let (mut last, mut usual, mut longest) = (None, Duration::ZERO, Duration::ZERO);
    // Nobody has read them yet, and so even a broker that forgets has them all.
    let completions = completions(&roles).await;
    assert_eq!(completions.len(), GOOD);
    for (offset, at) in completions {
        let delay = at.saturating_sub(*last.get_or_insert(at));
        last = last.max(Some(at));
        if offset < i64::try_from(FIRST).unwrap() {
            usual = usual.max(delay);
        } else {
            assert!(
                delay < usual + DELAY,
                "{offset} is completed {delay:?} after all before it, usually {usual:?}"
            );
            longest = longest.max(delay);
        }
    }
    eprintln!("no file is completed more than {longest:?} after all before it, without poison {usual:?}");
    let dead_letters = roles.records(topics::DEAD_LETTERS).await;
    let origins: BTreeSet<_> = dead_letters.iter().map(origin).collect();
    assert_eq!(dead_letters.len(), origins.len(), "each once");
    assert!(origins.is_superset(&put_aside));
    assert_eq!(origins.len(), put_aside.len() + panicking.len());
    let roles = roles.with_results().await;
    eventually("every file has ended", async || {
        let stats = roles.ctx.db.files().stats().await.unwrap();
        let ended = [stats.completed, stats.failed].map(|count| usize::try_from(count).unwrap());
        holds(ended == [GOOD, panicking.len()], stats)
    })
    .await;
    assert_eq!(roles.bucket.keys().await.len(), GOOD);
    roles.stop().await;
}

#[tokio::test]
async fn an_unusable_request_that_names_its_file_fails_the_file() {
    let roles = Roles::new().await.with_results().await.with_intake();
    // Its own message stays in the outbox: nothing relays here.
    let file = roles.request("a").await;
    let roles = roles.with_worker().await;
    let value = format!(r#"{{"fileId":{},"attempt":1,"title":"a","timestamp":"never"}}"#, file.id);
    let at = roles.publish(topics::CREATE, Some(value.as_bytes())).await;
    let failed = eventually("the file fails", async || {
        let file = roles.file(file.id).await;
        if file.status == Status::Failed { Ok(file) } else { Err(format!("{file:?}")) }
    })
    .await;
    let reason = failed.error.expect("a reason");
    assert!(reason.contains("not a file.create message"), "{reason}");
    roles.wait_until_all_is_committed(topics::CREATE).await;
    let dead_letters = roles.records(topics::DEAD_LETTERS).await;
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(origin(&dead_letters[0]), at);
    assert_eq!(header(&dead_letters[0], "x-attempt"), "1");
    assert_eq!(dead_letters[0].record.key.as_deref(), Some(file.id.to_string().as_bytes()));
    assert_eq!(dead_letters[0].record.value.as_deref(), Some(value.as_bytes()));
    roles.stop().await;
}

#[tokio::test]
async fn an_array_names_no_file() {
    let roles = Roles::new().await.with_results().await.with_intake();
    let file = roles.request("a").await;
    let roles = roles.with_worker().await;
    for value in [format!("[{}]", file.id), format!("[{},1]", file.id), format!("[[{}]]", file.id)] {
        roles.publish(topics::CREATE, Some(value.as_bytes())).await;
    }
    roles.wait_until_all_is_committed(topics::CREATE).await;
    roles.wait_until_all_is_committed(topics::CREATED).await;
    assert_eq!(roles.file(file.id).await, file);
    let dead_letters = roles.records(topics::DEAD_LETTERS).await;
    assert_eq!(
        dead_letters.iter().map(|dead_letter| dead_letter.record.key.clone()).collect::<Vec<_>>(),
        [None, None, None]
    );
    roles.stop().await;
}

#[tokio::test]
async fn a_request_with_the_source_systems_members_alone_makes_the_file() {
    let roles = Roles::new().await.with_results().await.with_intake();
    let file = roles.request("A title").await;
    let roles = roles.with_worker().await;
    let value = format!(
        "\u{feff}{{\"fileId\":{},\"title\":\"A title\",\"description\":\"d\",\"timestamp\":\"{}\",\"attempt\":0,\"format\":\"\"}}",
        file.id, file.created_at
    );
    roles.publish(topics::CREATE, Some(value.as_bytes())).await;
    eventually("the file completes", async || {
        let file = roles.file(file.id).await;
        holds(file.status == Status::Completed, file)
    })
    .await;
    let [key] = roles.bucket.keys().await.try_into().unwrap();
    assert_eq!(key, format!("files/{}_a_title_{}.txt", file.id, file.created_at.epoch_millis()));
    assert_eq!(roles.records(topics::DEAD_LETTERS).await, []);
    roles.stop().await;
}

#[tokio::test]
async fn a_request_delivered_twice_makes_one_object_and_one_completion() {
    let roles = Roles::new().await.with_results().await.with_worker().await.with_intake().with_relay();
    let file = roles.request("twice").await;
    let message = format!(
        r#"{{"fileId":{},"title":"twice","timestamp":"{}","attempt":1,"format":"txt"}}"#,
        file.id, file.created_at
    );
    for _ in 0..3 {
        roles.publish(topics::CREATE, Some(message.as_bytes())).await;
    }
    roles.wait_until_all_is_committed(topics::CREATE).await;
    roles.wait_until_all_is_committed(topics::CREATED).await;
    let done = eventually("the file completes", async || {
        let file = roles.file(file.id).await;
        if file.status == Status::Completed { Ok(file) } else { Err(format!("{file:?}")) }
    })
    .await;
    assert_eq!(roles.bucket.keys().await.len(), 1);
    let lines = roles.ctx.db.files().history(done.id).await.unwrap();
    let completions = lines.iter().filter(|line| line.to == Status::Completed).count();
    assert_eq!((completions, lines.len()), (1, 3), "{lines:#?}");
    assert_eq!(roles.records(topics::DEAD_LETTERS).await, []);
    roles.stop().await;
}
