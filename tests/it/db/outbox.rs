//! The relay takes whatever is visible, in whatever order it became visible.

use std::collections::BTreeMap;
use std::time::Duration;

use filesys::actions::relay_outbox;
use filesys::broker::Delivery;
use filesys::domain::message::{header, topic};
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
            topic::CREATE
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
        let id = &delivery.record.headers[header::EVENT_ID];
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

    let round = relay_outbox::once(&roles.ctx).await.unwrap();
    assert_eq!((round.taken, round.published), (1, 1));
    assert_eq!(events(&roles.records(topic::CREATE).await), BTreeMap::from([(second.clone(), 1)]));

    commit(&late).await;
    let round = relay_outbox::once(&roles.ctx).await.unwrap();
    assert_eq!((round.taken, round.published), (1, 1));
    assert_eq!(events(&roles.records(topic::CREATE).await), BTreeMap::from([(first, 1), (second, 1)]));
    assert_eq!(roles.ctx.db.outbox_size().await.unwrap(), 0);
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
                    relay_outbox::once(&ctx).await.unwrap();
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
        let left = roles.ctx.db.outbox_size().await.unwrap();
        holds(left == 0, left)
    })
    .await;
    for relay in relays {
        relay.abort();
    }
    assert_eq!(events(&roles.records(topic::CREATE).await), expected);
    roles.stop().await;
}

#[tokio::test]
async fn a_commit_of_another_process_wakes_the_relay_well_before_its_poll() {
    let roles = Roles::new().await.with_relay();
    let listening = tokio::spawn({
        let (db, wake) = (roles.ctx.db.clone(), roles.ctx.outbox.clone());
        async move {
            db.listen_for_outbox(wake, tokio_util::sync::CancellationToken::new()).await;
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
            let events = events(&roles.records(topic::CREATE).await);
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
