//! Requests that the broker lost are published again; those that only wait are not.

use std::sync::Arc;
use std::time::Duration;

use filesys::actions::files;
use filesys::broker::{MemberEvent, Membership, Position};
use filesys::domain::messages::topics;
use filesys::domain::{FileId, Status};
use filesys::jobs::recover_lost_requests::{Groups, Search};

use crate::support::roles::{Roles, group_of};
use crate::support::{PATIENCE, eventually, holds, within};

fn search() -> Search {
    let groups = Groups { workers: group_of(topics::CREATE), recorders: group_of(topics::CREATED) };
    Search::new(groups, Duration::ZERO)
}

/// Consumes every request and publishes no result.
async fn lose_every_request(roles: &Roles) {
    lose_every_record(roles, topics::CREATE).await;
}

/// Consumes every record of the topic and does nothing with it.
async fn lose_every_record(roles: &Roles, topic: &str) {
    let membership = Membership {
        group: group_of(topic),
        client_id: "careless".to_owned(),
        topics: vec![topic.to_owned()],
        session_timeout: Duration::from_secs(30),
    };
    let mut member = roles.broker.join(membership).await.unwrap();
    let ends = roles.broker.watermarks(topic).await.unwrap();
    let committed = roles.broker.committed(&group_of(topic), topic).await.unwrap();
    let done =
        |marks: &filesys::broker::Watermarks| committed.get(&marks.partition).copied().unwrap_or(marks.low);
    let mut left: i64 = ends.iter().map(|marks| marks.high - done(marks)).sum();
    while left > 0 {
        if let MemberEvent::Records(records) = within(PATIENCE, "a record", member.next(100)).await {
            left -= i64::try_from(records.len()).unwrap();
        }
    }
    let next = |marks: &filesys::broker::Watermarks| Position {
        topic: Arc::from(topic),
        partition: marks.partition,
        offset: marks.high,
    };
    member.commit(ends.iter().map(next).collect()).await.unwrap();
    member.leave().await;
}

async fn wait_until_published(roles: &Roles) {
    eventually("the outbox is empty", async || {
        let left = roles.ctx.db.outbox().size().await.unwrap();
        holds(left == 0, left)
    })
    .await;
}

async fn request(roles: &Roles, count: usize) -> Vec<FileId> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(roles.request(&format!("file {n}")).await.id);
    }
    wait_until_published(roles).await;
    ids
}

#[tokio::test]
async fn a_request_that_was_consumed_without_an_outcome_is_republished_and_made() {
    let roles = Roles::new().await.with_intake().with_relay().with_results().await;
    let ids = request(&roles, 5).await;
    lose_every_request(&roles).await;
    assert_eq!(search().step(&roles.ctx).await.unwrap(), 5);

    let roles = roles.with_worker().await;
    for id in ids {
        let file = eventually("the file is completed", async || {
            let file = roles.file(id).await;
            if file.status == Status::Completed { Ok(file) } else { Err(format!("{file:?}")) }
        })
        .await;
        assert_eq!(file.attempt.0, 2);
    }
    assert_eq!(search().step(&roles.ctx).await.unwrap(), 0);
    roles.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_for_a_worker_is_left_alone_however_long_it_takes() {
    let roles = Roles::new().await.with_intake().with_relay().with_results().await;
    let ids = request(&roles, 5).await;
    let mut search = search();
    for _ in 0..3 {
        assert_eq!(search.step(&roles.ctx).await.unwrap(), 0);
    }
    let roles = roles.with_worker().await;
    eventually("the search ends", async || {
        assert_eq!(search.step(&roles.ctx).await.unwrap(), 0);
        let done = roles.ctx.db.files().stats().await.unwrap().completed;
        holds(done == 5, done)
    })
    .await;
    for id in ids {
        assert_eq!(roles.file(id).await.attempt.0, 1);
    }
    roles.stop().await;
}

#[tokio::test]
async fn an_outcome_that_is_not_recorded_yet_is_waited_for() {
    let roles = Roles::new().await.with_intake().with_relay().with_worker().await;
    let ids = request(&roles, 3).await;
    roles.wait_until_all_is_committed(topics::CREATE).await;
    let mut search = search();
    for _ in 0..3 {
        assert_eq!(search.step(&roles.ctx).await.unwrap(), 0);
    }
    let roles = roles.with_results().await;
    roles.wait_until_all_is_committed(topics::CREATED).await;
    assert_eq!(search.step(&roles.ctx).await.unwrap(), 0);
    for id in ids {
        let file = roles.file(id).await;
        assert_eq!((file.status, file.attempt.0), (Status::Completed, 1));
    }
    roles.stop().await;
}

#[tokio::test]
async fn a_request_in_the_outbox_is_not_lost() {
    let roles = Roles::new().await.with_intake().with_results().await;
    let id = roles.request("waits in the outbox").await.id;
    assert_eq!(search().step(&roles.ctx).await.unwrap(), 0);
    assert_eq!(roles.file(id).await.attempt.0, 1);
    roles.stop().await;
}

#[tokio::test]
async fn what_gets_lost_time_and_again_fails_in_the_end() {
    let roles = Roles::new().await.with_intake().with_relay().with_results().await;
    let id = request(&roles, 1).await[0];
    for _ in 1..20 {
        lose_every_request(&roles).await;
        assert_eq!(search().step(&roles.ctx).await.unwrap(), 1);
        wait_until_published(&roles).await;
    }
    assert_eq!(roles.file(id).await.attempt.0, 20);
    lose_every_request(&roles).await;
    assert_eq!(search().step(&roles.ctx).await.unwrap(), 1);
    let file = roles.file(id).await;
    assert_eq!(
        (file.status, file.error.as_deref()),
        (Status::Failed, Some("its request got lost too often"))
    );
    roles.stop().await;
}

#[tokio::test]
async fn the_object_of_a_cancelled_file_is_removed_although_its_result_got_lost() {
    let roles = Roles::new().await.with_intake().with_relay().with_removals().with_worker().await;
    let id = request(&roles, 1).await[0];
    roles.wait_until_all_is_committed(topics::CREATE).await;
    files::cancel(&roles.ctx, id).await.unwrap();

    let mut search = search();
    for _ in 0..3 {
        assert_eq!(search.step(&roles.ctx).await.unwrap(), 0);
    }
    assert_eq!(removals(&roles).await, 1, "its result may still come");
    assert_eq!(roles.bucket.keys().await.len(), 1);

    lose_every_record(&roles, topics::CREATED).await;
    assert_eq!(search.step(&roles.ctx).await.unwrap(), 0);
    eventually("the object is removed", async || {
        let left = (roles.bucket.keys().await, roles.ctx.db.object_removals().count().await.unwrap());
        holds(left == (Vec::new(), 0), left)
    })
    .await;
    assert_eq!((removals(&roles).await, roles.file(id).await.status), (0, Status::Cancelled));
    roles.stop().await;
}

#[tokio::test]
async fn a_cancelled_file_whose_request_is_still_to_be_published_keeps_its_removal() {
    let roles = Roles::new().await.with_intake().with_results().await;
    let id = roles.request("cancelled in the outbox").await.id;
    files::cancel(&roles.ctx, id).await.unwrap();
    assert_eq!(search().step(&roles.ctx).await.unwrap(), 0);
    assert_eq!(removals(&roles).await, 1);

    let roles = roles.with_relay();
    wait_until_published(&roles).await;
    assert_eq!(search().step(&roles.ctx).await.unwrap(), 0);
    assert_eq!(removals(&roles).await, 1, "no worker has had it yet");
    let roles = roles.with_worker().await;
    roles.wait_until_all_is_committed(topics::CREATE).await;
    roles.wait_until_all_is_committed(topics::CREATED).await;
    assert_eq!(search().step(&roles.ctx).await.unwrap(), 0);
    assert_eq!(removals(&roles).await, 0);
    roles.stop().await;
}

/// Number of removals that wait until no worker can store their objects any more.
async fn removals(roles: &Roles) -> i64 {
    let sql = "SELECT count(*) FROM object_removals WHERE retry_at = 'infinity'";
    roles.database.connect().await.query_one(sql, &[]).await.unwrap().get(0)
}
