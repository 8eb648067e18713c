//! Sessions whose settings, server or schema change while they are open; poolers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use filesys::config::DatabaseTarget;
use filesys::db::files::Transitions;
use filesys::db::{Db, DbError, migrations};
use filesys::domain::FileId;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::support::pgbouncer::{PgBouncer, host_of, url_at};
use crate::support::{Answer, Database, Ground, PATIENCE, eventually, within};

async fn set(database: &Database, setting: &str) {
    let admin = database.connect().await;
    let name: String = admin.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
    admin.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    admin.batch_execute(&format!("ALTER DATABASE {name} {setting}")).await.unwrap();
}

/// Writes something, which has to reach the database.
async fn write(db: &Db) -> Result<(), DbError> {
    db.object_removals().release_potential_orphans(vec![1]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_opened_while_read_only_are_replaced_once_writes_are_taken_again() {
    let database = Database::migrated().await;
    set(&database, "SET default_transaction_read_only = on").await;
    let db = database.pool();
    for _ in 0..3 {
        assert!(matches!(db.ping().await, Err(DbError::ReadOnly)));
        assert!(matches!(db.files().reserve_ids(1).await, Err(DbError::ReadOnly)));
        assert!(db.files().get(FileId(1)).await.unwrap().is_none(), "questions are answered all the same");
    }
    set(&database, "RESET default_transaction_read_only").await;
    db.files().reserve_ids(1).await.unwrap();
    // One try on an old session; it is the last.
    let _ = write(&db).await;
    write(&db).await.unwrap();
    eventually("writes are taken", async || db.ping().await.map_err(|error| error.to_string())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stricter_isolation_of_the_role_fails_nothing() {
    let database = Database::migrated().await;
    set(&database, "SET default_transaction_isolation = 'serializable'").await;
    let db = database.pool();
    let moves = (0..150).map(|_| {
        let db = db.clone();
        tokio::spawn(async move {
            db.files().transition(vec![FileId(1)], |_, _| (Transitions::default(), ())).await
        })
    });
    for moved in futures_util::future::join_all(moves).await {
        moved.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_newer_build_is_not_worked_with_unless_it_says_so() {
    let database = Database::migrated().await;
    let db = database.pool();
    db.ping().await.unwrap();
    let admin = database.connect().await;
    admin
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000001')")
        .await
        .unwrap();
    let error = db.ping().await.unwrap_err();
    assert!(matches!(&error, DbError::NewerSchema(version) if version == "29990101000001"), "{error}");
    // As in a rolling upgrade.
    let compatible =
        "INSERT INTO schema_compatibility (version, works_with) VALUES ('29990101000001', '20261128000030')";
    admin.batch_execute(compatible).await.unwrap();
    db.ping().await.unwrap();
    admin.batch_execute("UPDATE schema_compatibility SET works_with = '29981231000001'").await.unwrap();
    assert!(matches!(db.ping().await, Err(DbError::NewerSchema(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_a_firewall_has_forgotten_cost_a_second_at_most() {
    let database = Database::migrated().await;
    let firewall = Forgetful::start(&database).await;
    let db = Db::new(&firewall.url, 5).unwrap();
    let pings = (0..4).map(|_| db.files().get(FileId(1)));
    for answer in futures_util::future::join_all(pings).await {
        answer.unwrap();
    }
    firewall.forget();
    // After so long a connection is asked before it is used.
    tokio::time::sleep(filesys::db::limits::ASK_AFTER).await;
    for _ in 0..4 {
        let asked = Instant::now();
        db.files().get(FileId(1)).await.unwrap();
        db.files().reserve_ids(1).await.unwrap();
        db.files().transition(vec![FileId(1)], |_, _| (Transitions::default(), ())).await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_has_changed_nothing_is_done_once_more_when_its_session_is_ended() {
    const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let database = Database::migrated().await;
    let db = database.pool();
    for _ in 0..5 {
        let reads = (0..4).map(|_| db.files().get(FileId(1)));
        for answer in futures_util::future::join_all(reads).await {
            assert!(answer.unwrap().is_none());
        }
        db.files().reserve_ids(1).await.unwrap();
        let cut: i64 = database.one(CUT).await;
        assert!(cut >= 2, "{cut}");
        db.files().transition(vec![FileId(1)], |_, _| (Transitions::default(), ())).await.unwrap();
        db.files().reserve_ids(1).await.unwrap();
        let _cut: i64 = database.one(CUT).await;
        let reads = (0..4).map(|_| db.files().get(FileId(1)));
        for answer in futures_util::future::join_all(reads).await {
            assert!(answer.unwrap().is_none());
        }
    }
}

/// TCP relay that can forget its connections, like a firewall: they stay open and pass nothing.
struct Forgetful {
    url: SecretString,
    forgotten: tokio::sync::watch::Sender<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Forgetful {
    async fn start(database: &Database) -> Self {
        let target = DatabaseTarget::parse(database.url().expose_secret()).unwrap();
        let server = target.servers[0].clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url_at(&target, listener.local_addr().unwrap().port());
        let (forgotten, seen) = tokio::sync::watch::channel(0_u64);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut seen = seen.clone();
                let address = (host_of(&server.place), server.port);
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(address).await.unwrap();
                    seen.mark_unchanged();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        // Both stay open, and nothing comes through.
                        _ = seen.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { url, forgotten, _task: AbortOnDropHandle::new(task) }
    }

    fn forget(&self) {
        self.forgotten.send_modify(|count| *count += 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_session_mode_is_like_no_pooler() {
    let database = Database::migrated().await;
    let Some(pooler) = PgBouncer::start(&database, "session") else { return };
    pooler.listens().await;
    assert_eq!(migrations::migrate(&pooler.url).await.unwrap(), [""; 0]);
    let db = Db::new(&pooler.url, 4).unwrap();
    db.ping().await.unwrap();
    let wake = Arc::new(tokio::sync::Notify::new());
    let stop = tokio_util::sync::CancellationToken::new();
    let listening = tokio::spawn({
        let (db, wake, stop) = (db.clone(), Arc::clone(&wake), stop.clone());
        async move { db.outbox().listen(wake, Duration::from_secs(2), stop).await }
    });
    within(PATIENCE, "listening", wake.notified()).await;
    database.connect().await.batch_execute("NOTIFY filesys_outbox").await.unwrap();
    within(PATIENCE, "a notification", wake.notified()).await;
    let moves = (0..50).map(|_| {
        let db = db.clone();
        tokio::spawn(async move {
            db.files().transition(vec![FileId(1)], |_, _| (Transitions::default(), ())).await
        })
    });
    for moved in futures_util::future::join_all(moves).await {
        moved.unwrap().unwrap();
    }
    stop.cancel();
    listening.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_is_refused_in_one_sentence() {
    let database = Database::migrated().await;
    for mode in ["transaction", "statement"] {
        let Some(pooler) = PgBouncer::start(&database, mode) else { return };
        pooler.listens().await;
        let db = Db::new(&pooler.url, 4).unwrap();
        for _ in 0..3 {
            let error = db.ping().await.unwrap_err();
            assert!(matches!(error, DbError::Pooler(text) if text.contains("pool_mode=session")), "{error}");
        }
        let error = migrations::migrate(&pooler.url).await.unwrap_err();
        assert!(matches!(error, DbError::Pooler(_)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_works_through_a_pooler_in_session_mode() {
    let ground = Ground::new().await;
    let Some(pooler) = PgBouncer::start(&ground.database, "session") else { return };
    pooler.listens().await;
    let app =
        ground.start(&[("DATABASE_URL", pooler.url.expose_secret()), ("PROCESSING_DELAY_MS", "300")]).await;
    let cancelled = app.post_file("cancelled").await;
    assert_eq!(app.act(&format!("/files/{}/cancel", cancelled.id)).await.status, 202);
    for number in 0..20 {
        app.post_file(&format!("number {number}")).await;
    }
    let key = ("idempotency-key", "once");
    for _ in 0..2 {
        let request = app.request(reqwest::Method::POST, "/files").header(key.0, key.1);
        assert_eq!(Answer::of(request.json(&serde_json::json!({"title": "once"}))).await.status, 201);
    }
    eventually("all are completed but the cancelled one", async || {
        let stats = app.stats().await;
        let done = (stats.completed, stats.cancelled, stats.total) == (21, 1, 22);
        if done { Ok(()) } else { Err(format!("{stats:?}")) }
    })
    .await;
    assert_eq!(app.page("/files?q=number&limit=200").await.0.len(), 20);
    assert_eq!(app.get("/readyz").await.status, 200);
    app.stop().await;
}
