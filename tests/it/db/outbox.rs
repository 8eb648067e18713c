//! The relay publishes every visible row, in whatever order rows became visible; an unpublishable one blocks no other.

use std::collections::BTreeMap;
use std::time::Duration;

use filesys::actions::files;
use filesys::broker::Delivery;
use filesys::domain::messages::file_create::CreateFile;
use filesys::domain::messages::{headers, topics};
use filesys::domain::{FileId, Status};
use filesys::jobs::relay_outbox;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::roles::Roles;
use crate::support::{eventually, holds};

/// Writes one outbox row in a transaction that stays open; returns its event id.
async fn hold(connection: &Client) -> String {
    let event = Uuid::now_v7();
    connection.batch_execute("BEGIN").await.unwrap();
    connection
        .batch_execute(&format!(
            "INSERT INTO outbox (event_id, topic, value, file_id) VALUES ('{event}', '{}', '{{}}', 1)",
            topics::CREATE
        ))
        .await
        .unwrap();
    event.to_string()
}

async fn commit(connection: &Client) {
    connection.batch_execute("COMMIT").await.unwrap();
}

fn events(deliveries: &[Delivery]) -> BTreeMap<String, usize> {
    let mut events = BTreeMap::new();
    for delivery in deliveries {
        let id = &delivery.record.headers.get(headers::EVENT_ID).unwrap();
        *events.entry(String::from_utf8(id.to_vec()).unwrap()).or_default() += 1;
    }
    events
}

#[tokio::test]
async fn a_row_that_commits_late_is_published_all_the_same() {
    let roles = Roles::new().await;
    let (early, late) = (roles.database.connect().await, roles.database.connect().await);
    let first = hold(&late).await;
    let second = hold(&early).await;
    commit(&early).await;

    let round = relay_outbox::relay_once(&roles.ctx).await.unwrap();
    assert_eq!((round.taken, round.published), (1, 1));
    assert_eq!(events(&roles.records(topics::CREATE).await), BTreeMap::from([(second.clone(), 1)]));

    commit(&late).await;
    let round = relay_outbox::relay_once(&roles.ctx).await.unwrap();
    assert_eq!((round.taken, round.published), (1, 1));
    assert_eq!(events(&roles.records(topics::CREATE).await), BTreeMap::from([(first, 1), (second, 1)]));
    assert_eq!(roles.ctx.db.outbox().size().await.unwrap(), 0);
    roles.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_relays_publish_each_row_once_while_transactions_commit_in_any_order() {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 25;
    let roles = Roles::new().await;
    let relays: Vec<_> = (0..3)
        .map(|_| {
            let ctx = roles.ctx.clone();
            // Never waits, so that two of them look at the same rows again and again.
            tokio::spawn(async move {
                loop {
                    relay_outbox::relay_once(&ctx).await.unwrap();
                }
            })
        })
        .collect();
    let mut connections = Vec::new();
    for _ in 0..WRITERS {
        connections.push(roles.database.connect().await);
    }
    let mut expected = BTreeMap::new();
    for round in 0..ROUNDS {
        // Written in one order, committed in another, each round in a different one; the relays run all the time.
        for connection in &connections {
            expected.insert(hold(connection).await, 1);
        }
        for place in 0..WRITERS {
            commit(&connections[(place * 3 + round) % WRITERS]).await;
        }
    }
    eventually("the outbox is empty", async || {
        let left = roles.ctx.db.outbox().size().await.unwrap();
        holds(left == 0, left)
    })
    .await;
    for relay in relays {
        relay.abort();
    }
    assert_eq!(events(&roles.records(topics::CREATE).await), expected);
    roles.stop().await;
}

#[tokio::test]
async fn a_commit_of_another_process_wakes_the_relay_well_before_its_poll() {
    let roles = Roles::new().await.with_relay();
    let listening = tokio::spawn({
        let (db, wake) = (roles.ctx.db.clone(), roles.ctx.outbox.clone());
        async move {
            db.outbox()
                .listen(wake, Duration::from_secs(2), tokio_util::sync::CancellationToken::new())
                .await;
        }
    });
    let connection = roles.database.connect().await;
    eventually("the relay listens", async || {
        let listeners: i64 = roles
            .database
            .one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
            .await;
        holds(listeners == 1, listeners)
    })
    .await;
    let mut took = Vec::new();
    for _ in 0..6 {
        let event = hold(&connection).await;
        connection.batch_execute("NOTIFY filesys_outbox").await.unwrap();
        let committed = std::time::Instant::now();
        commit(&connection).await;
        eventually("the row is published", async || {
            let events = events(&roles.records(topics::CREATE).await);
            holds(events.contains_key(&event), events.len())
        })
        .await;
        took.push(committed.elapsed());
    }
    took.sort_unstable();
    // The poll alone might come soon after the first commit. The others follow a poll, and it comes once a second.
    assert!(took[1] < Duration::from_millis(600), "{took:?}");
    listening.abort();
    roles.stop().await;
}

/// Files of the published requests, in order.
async fn asked_for(roles: &Roles) -> Vec<FileId> {
    let requests = roles.records(topics::CREATE).await;
    let id = |request: &Delivery| CreateFile::read(request.record.value.as_deref()).unwrap().file_id;
    let mut ids: Vec<FileId> = requests.iter().map(id).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_request_too_large_to_be_published_fails_its_file_and_those_behind_it_flow() {
    let roles = Roles::new().await.with_intake();
    let first = roles.request("first").await;
    let connection = roles.database.connect().await;
    let grown =
        "UPDATE outbox SET value = convert_to(repeat('x', 2000000), 'UTF8') WHERE topic = 'file.create'";
    assert_eq!(connection.execute(grown, &[]).await.unwrap(), 1);
    let mut behind = Vec::new();
    for n in 0..5 {
        behind.push(roles.request(&format!("file {n}")).await.id);
    }

    // One round, with the facts of all six.
    let round = relay_outbox::relay_once(&roles.ctx).await.unwrap();
    assert_eq!((round.taken, round.postponed.len(), round.retained), (12, 0, None));
    assert_eq!(asked_for(&roles).await, behind);
    let failed = roles.file(first.id).await;
    assert_eq!(failed.status, Status::Failed);
    let reason = failed.error.expect("a reason");
    assert!(reason.starts_with("its request could not be published: "), "{reason}");
    assert!(reason.contains("bytes"), "{reason}");

    // For people to see, and not taken again: what is left is the fact that the file failed.
    let parked: String =
        roles.database.one("SELECT park_reason FROM outbox WHERE parked_at IS NOT NULL").await;
    assert!(reason.ends_with(&parked), "{parked}");
    for left in [1, 0] {
        assert_eq!(relay_outbox::relay_once(&roles.ctx).await.unwrap().taken, left);
    }
    assert_eq!(roles.ctx.db.outbox().size().await.unwrap(), 1);

    // Nor is it in the way of the same file's next attempt.
    files::retry(&roles.ctx, first.id).await.unwrap();
    relay_outbox::relay_once(&roles.ctx).await.unwrap();
    assert_eq!(asked_for(&roles).await, [&[first.id], &behind[..]].concat());
    let roles = roles.with_results().await.with_worker().await;
    eventually("all six are made", async || {
        let stats = roles.ctx.db.files().stats().await.unwrap();
        holds((stats.completed, stats.total) == (6, 6), stats)
    })
    .await;
    roles.stop().await;
}

#[tokio::test]
async fn requests_that_wait_for_a_missing_topic_let_others_pass_and_are_published_when_it_is_there() {
    // More than a relay takes at once.
    const WAITING: i64 = 700;
    let roles = Roles::without_topics(&[topics::CREATE]).await;
    let connection = roles.database.connect().await;
    let rows = "WITH file AS (
            INSERT INTO files (title, deadline_at)
            SELECT 'file ' || n, now() + interval '1 hour' FROM generate_series(1, $1::bigint) AS n
            RETURNING id, created_at)
        INSERT INTO outbox (event_id, topic, value, file_id)
        SELECT gen_random_uuid(), 'file.create',
               convert_to(json_build_object('fileId', id, 'title', 'a', 'timestamp', created_at)::text, 'UTF8'), id
        FROM file ORDER BY id";
    connection.execute(rows, &[&WAITING]).await.unwrap();
    let behind = "INSERT INTO outbox (event_id, topic, value, file_id)
        SELECT gen_random_uuid(), 'file.created', convert_to('{}', 'UTF8'), 0 FROM generate_series(1, 5)";
    connection.execute(behind, &[]).await.unwrap();

    let round = relay_outbox::relay_once(&roles.ctx).await.unwrap();
    assert_eq!((round.taken, round.published, round.postponed.len()), (500, 0, 500));
    eventually("what is behind them is published", async || {
        let round = relay_outbox::relay_once(&roles.ctx).await.unwrap();
        let told = roles.records(topics::CREATED).await.len();
        holds(told == 5, (told, round))
    })
    .await;
    // Their files wait too, until their deadline.
    let statuses = "SELECT count(*) FROM files WHERE status = 'pending'";
    assert_eq!(roles.database.one::<i64>(statuses).await, WAITING);
    connection.execute("UPDATE files SET deadline_at = now() WHERE title = 'file 1'", &[]).await.unwrap();
    assert_eq!(files::expire(&roles.ctx.db, &roles.ctx.events).await.unwrap(), 1);
    let why: String = roles.database.one("SELECT error FROM files WHERE title = 'file 1'").await;
    assert_eq!(why, "not finished before its deadline");

    roles.make_topics().await;
    eventually("every request is published", async || {
        relay_outbox::relay_once(&roles.ctx).await.unwrap();
        let left = roles.ctx.db.outbox().size().await.unwrap();
        holds(left == 0, left)
    })
    .await;
    let asked_for = asked_for(&roles).await;
    assert_eq!(asked_for.len(), usize::try_from(WAITING).unwrap());
    assert!(asked_for.is_sorted_by(|a, b| a < b), "each once");
    roles.stop().await;
}
