//! Pages and lists cost the same, however many files there are.

use std::sync::Arc;

use crate::support::{Database, TestApp, eventually, holds};

const FILES: i64 = 20_000;

/// Inserts old files; every hundredth is unfinished.
async fn fill(database: &Database) {
    let sql = format!(
        "INSERT INTO files (title, status, s3_location, deadline_at)
         SELECT 'old ' || n, CASE WHEN n % 100 = 0 THEN 'pending' ELSE 'completed' END, 's3://b/' || n,
             now() + interval '1 day'
         FROM generate_series(1, {FILES}) AS n"
    );
    let connection = database.connect().await;
    connection.batch_execute(&sql).await.unwrap();
    connection.batch_execute("ANALYZE files").await.unwrap();
}

/// Statistics of PostgreSQL about the table's use.
#[derive(Debug)]
struct Scans {
    by_index: i64,
    whole: i64,
    inserted: i64,
    index_entries: i64,
}

async fn scans(database: &Database) -> Scans {
    let sql = "SELECT idx_scan, seq_scan, n_tup_ins,
            (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'files')
        FROM pg_stat_user_tables WHERE relname = 'files'";
    let row = database.connect().await.query_one(sql, &[]).await.unwrap();
    Scans { by_index: row.get(0), whole: row.get(1), inserted: row.get(2), index_entries: row.get(3) }
}

#[tokio::test]
async fn nothing_that_is_looked_at_or_asked_for_reads_the_whole_table() {
    let app = TestApp::start().await;
    fill(&app.ground.database).await;
    // What a process counts, PostgreSQL tells a little later.
    let before = eventually("what it took to fill the table is known", async || {
        let before = scans(&app.ground.database).await;
        if before.inserted >= FILES { Ok(before) } else { Err(format!("{before:?}")) }
    })
    .await;

    let id = app.post_file("new").await.id;
    let mut looks = 0;
    for path in [
        "/",
        "/files",
        "/files?limit=200",
        "/files?status=pending",
        "/files?status=completed",
        "/files?type=image",
        "/files?type=image&status=completed",
        "/files?tag=a",
        "/files?folder=a",
        "/files?owner=a",
        "/files?origin=uploaded",
        "/files?origin=generated&type=text",
        "/files/stats",
        &format!("/files/{id}"),
        &format!("/files/{id}/timeline"),
        "/ui/files/fragment",
    ] {
        assert_eq!(app.get(path).await.status, 200, "{path}");
        looks += 1;
    }
    let (_, next) = app.page("/files?limit=50").await;
    app.page(&next.expect("there are more")).await;

    eventually("the looks are counted", async || {
        let now = scans(&app.ground.database).await;
        holds(now.by_index >= before.by_index + looks, now)
    })
    .await;
    let after = scans(&app.ground.database).await;
    assert_eq!(after.whole, before.whole, "somebody read the whole table");
    let read = after.index_entries - before.index_entries;
    assert!(read < FILES / 4, "{read} entries of indexes were read");
    app.stop().await;
}

#[tokio::test]
async fn a_page_of_a_large_table_is_planned_once() {
    let database = Database::migrated().await;
    fill(&database).await;
    let connection = database.connect().await;
    connection.batch_execute(filesys::db::BY_INDEX).await.unwrap();
    let page =
        connection.prepare("SELECT * FROM files WHERE status <> $1 ORDER BY id DESC LIMIT $2").await.unwrap();
    for _ in 0..10 {
        assert_eq!(connection.query(&page, &[&"deleted", &50_i64]).await.unwrap().len(), 50);
    }
    let custom =
        "SELECT custom_plans FROM pg_prepared_statements WHERE statement LIKE 'SELECT * FROM files%'";
    assert_eq!(connection.query_one(custom, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn the_counts_are_those_of_the_rows_however_they_change() {
    let app = TestApp::start().await;
    fill(&app.ground.database).await;
    let connection = app.ground.database.connect().await;
    for sql in [
        "DELETE FROM files WHERE id % 7 = 0",
        "UPDATE files SET status = 'failed' WHERE id % 11 = 0 AND status = 'pending'",
        "UPDATE files SET title = title || '!' WHERE id % 3 = 0",
    ] {
        connection.batch_execute(sql).await.unwrap();
    }
    app.post_files((0..20).map(|n| format!("new {n}"))).await;

    let count = "SELECT status::text, count(*) FROM files GROUP BY status ORDER BY status";
    let counted = "SELECT status::text, sum(files)::bigint FROM status_counts GROUP BY status HAVING sum(files) <> 0 ORDER BY status";
    let rows = async |sql: &str| -> Vec<(String, i64)> {
        let rows = connection.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    eventually("the new ones are made, and everything is counted", async || {
        let (is, said) = (rows(count).await, rows(counted).await);
        let pending: i64 = is.iter().filter(|(status, _)| status == "processing").map(|(_, n)| n).sum();
        holds(is == said && pending == 0, (is, said))
    })
    .await;
    eventually("the lines are folded", async || {
        let lines: i64 = app.ground.database.one("SELECT count(*) FROM status_counts").await;
        holds(lines <= 6, lines)
    })
    .await;
    assert_eq!(rows(count).await, rows(counted).await);
    app.stop().await;
}

#[tokio::test]
async fn a_thousand_who_look_at_once_cost_the_database_a_few_looks() {
    let app = Arc::new(TestApp::start().await);
    let database = &app.ground.database;
    fill(database).await;
    let calls = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let expected = app.stats().await;
    assert_eq!(expected.total, FILES);
    let before: i64 = database.one(calls).await;
    for _ in 0..10 {
        let asked = (0..100).map(|n| {
            let app = Arc::clone(&app);
            let path = if n % 2 == 0 { "/files/stats" } else { "/files?limit=50" };
            tokio::spawn(async move { app.get(path).await.status })
        });
        for status in futures_util::future::join_all(asked).await {
            assert_eq!(status.unwrap(), 200);
        }
    }
    // New files are seen at once by whoever asked for them.
    for n in 0..20 {
        let title = format!("new {n}");
        app.post_file(&title).await;
        assert_eq!(app.page("/files?limit=1").await.0[0].title, title);
    }
    let after: i64 = database.one(calls).await;
    // Besides a few for each of the 20 files, and what serve does for itself.
    assert!(after - before < 600, "{} transactions", after - before);
    Arc::into_inner(app).expect("nobody asks any more").stop().await;
}
