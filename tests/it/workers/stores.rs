//! A store that fails, hangs or loses data: no file is lost, and none is completed without its bytes.

use std::time::{Duration, Instant};

use filesys::domain::messages::topics;
use filesys::domain::{Attempt, File, FileId, Status};
use filesys::storage::{Storage, Stored, limits};
use secrecy::ExposeSecret;

use crate::support::proxy::s3::{Direct, S3Mode, S3Proxy};
use crate::support::roles::Roles;
use crate::support::{eventually, holds};

/// Time in which work resumes after the store has recovered, with jitter and a loaded machine.
const RECOVERY: Duration = Duration::from_secs(10);

/// All parts of the roles, with a proxy in front of the store.
async fn roles_behind_a_proxy() -> (Roles, S3Proxy) {
    let mut roles = Roles::new().await;
    let mut config = roles.bucket.config.clone();
    let direct = Direct {
        bucket: config.bucket.clone(),
        access_key: config.access_key_id.clone(),
        secret_key: config.secret_access_key.expose_secret().to_owned(),
    };
    let proxy = S3Proxy::start(config.endpoint.as_deref().unwrap(), direct).await;
    config.endpoint = Some(format!("http://{}", proxy.address()));
    roles.ctx.storage = Storage::new(&config).unwrap();
    (roles.with_results().await.with_worker().await.with_intake().with_relay(), proxy)
}

async fn reaches_hits(proxy: &S3Proxy, hits: u64) {
    eventually(&format!("{hits} requests are hit"), async || holds(proxy.hits() >= hits, proxy.hits())).await;
}

async fn becomes(roles: &Roles, id: FileId, status: Status) -> File {
    eventually(&format!("file {id} becomes {}", status.name()), async || {
        let file = roles.file(id).await;
        if file.status == status { Ok(file) } else { Err(format!("{file:?}")) }
    })
    .await
}

/// Requests files during an outage of the store, and checks that they are made soon after it.
async fn nothing_is_lost_to(roles: &Roles, proxy: &S3Proxy, mode: S3Mode, recovery: Duration) {
    let before = proxy.hits();
    proxy.set(mode, 100);
    let mut files = Vec::new();
    for n in 0..5 {
        files.push(roles.request(&format!("{mode:?} {n}")).await.id);
    }
    reaches_hits(proxy, before + if mode == S3Mode::Silence { 5 } else { 20 }).await;
    proxy.set(S3Mode::Pass, 0);
    let healed = Instant::now();
    for id in files {
        let file = becomes(roles, id, Status::Completed).await;
        assert_eq!(file.attempt, Attempt::FIRST);
    }
    eprintln!("{mode:?}: all made {:?} after it", healed.elapsed());
    assert!(healed.elapsed() < recovery, "{mode:?}: {:?}", healed.elapsed());
}

#[tokio::test]
async fn a_store_that_refuses_fails_no_file_and_is_used_again_at_once() {
    let (roles, proxy) = roles_behind_a_proxy().await;
    for mode in [S3Mode::InternalError, S3Mode::SlowDown, S3Mode::Forbidden, S3Mode::NoBucket] {
        nothing_is_lost_to(&roles, &proxy, mode, RECOVERY).await;
    }
    assert_eq!(roles.records(topics::DEAD_LETTERS).await, []);
    roles.stop().await;
}

#[tokio::test]
async fn a_store_that_is_silent_fails_no_file_and_is_not_waited_for_long() {
    let (roles, proxy) = roles_behind_a_proxy().await;
    assert!(limits::REQUEST_TIMEOUT < RECOVERY);
    nothing_is_lost_to(&roles, &proxy, S3Mode::Silence, limits::REQUEST_TIMEOUT + RECOVERY).await;
    assert_eq!(roles.records(topics::DEAD_LETTERS).await, []);
    roles.stop().await;
}

#[tokio::test]
async fn a_store_that_asks_for_time_is_given_it() {
    let (roles, proxy) = roles_behind_a_proxy().await;
    proxy.set(S3Mode::SlowDown, 100);
    let id = roles.request("patient").await.id;
    reaches_hits(&proxy, 1).await;
    let first = Instant::now();
    reaches_hits(&proxy, 3).await;
    // It asks for a second each time.
    assert!(first.elapsed() > Duration::from_millis(1900), "{:?}", first.elapsed());
    proxy.set(S3Mode::Pass, 0);
    becomes(&roles, id, Status::Completed).await;
    roles.stop().await;
}

#[tokio::test]
async fn a_store_that_confirms_what_it_did_not_keep_is_not_believed() {
    let (roles, proxy) = roles_behind_a_proxy().await;
    for mode in [S3Mode::StoreNothing, S3Mode::StoreTruncated] {
        // Once: it is stored again.
        proxy.hit_next(mode, 1);
        let before = proxy.hits();
        let id = roles.request(&format!("{mode:?} once")).await.id;
        let file = becomes(&roles, id, Status::Completed).await;
        assert_eq!((proxy.hits(), file.attempt), (before + 1, Attempt::FIRST));
        let keys = roles.bucket.keys().await;
        let key = keys.iter().find(|key| file.s3_location.as_ref().unwrap().ends_with(*key)).unwrap();
        let stored = Stored::of(&roles.bucket.object(key).await);
        assert_eq!((Some(stored.size), Some(stored.sha256)), (file.size, file.sha256));

        // Each time: the file fails and says so.
        proxy.set(mode, 100);
        let id = roles.request(&format!("{mode:?} always")).await.id;
        let file = becomes(&roles, id, Status::Failed).await;
        assert_eq!(file.error.as_deref(), Some("the object store did not keep the bytes it was given"));
        proxy.set(S3Mode::Pass, 0);
    }
    roles.wait_until_all_is_committed(topics::CREATE).await;
    assert_eq!(roles.records(topics::DEAD_LETTERS).await.len(), 2);
    roles.stop().await;
}
