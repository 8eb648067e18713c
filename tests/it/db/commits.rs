//! A commit that fails after the rows of its statement were answered: nothing is stored, and no client is told that it is.

use std::collections::BTreeSet;

use filesys::domain::{File, FileId};
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Database, TestApp};

/// Makes commits that inserted into `files` fail: PostgreSQL has sent the rows by then. Each insert takes a number, those
/// up to `last` fail.
async fn fail_commits(database: &Database, kind: &str, sqlstate: &str, last: u32) {
    let sql = format!(
        "CREATE SEQUENCE commits;
         CREATE FUNCTION fail_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('commits') <= {last} THEN RAISE EXCEPTION 'no commit' USING ERRCODE = '{sqlstate}'; END IF;
             RETURN NULL;
         END $$;
         CREATE {kind} EXECUTE FUNCTION fail_commit();"
    );
    database.connect().await.batch_execute(&sql).await.unwrap();
}

const AT_COMMIT: &str =
    "CONSTRAINT TRIGGER fail AFTER INSERT ON files DEFERRABLE INITIALLY DEFERRED FOR EACH ROW";
const AFTER_THE_STATEMENT: &str = "TRIGGER fail AFTER INSERT ON files FOR EACH STATEMENT";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_commit_fails_is_refused_with_and_without_a_key() {
    for kind in [AT_COMMIT, AFTER_THE_STATEMENT] {
        let app = TestApp::start().await;
        fail_commits(&app.ground.database, kind, "57014", 1_000_000).await;
        for number in 0..3 {
            let answer = app.post(&json!({"title": "never stored"})).await;
            assert_eq!(answer.status, 503, "{kind}: {}", answer.text());
            let key = format!("key {number}");
            let request = app
                .request(Method::POST, "/files")
                .header("idempotency-key", &key)
                .json(&json!({"title": "never stored"}));
            let answer = Answer::of(request).await;
            assert_eq!(answer.status, 503, "{kind}: {}", answer.text());
        }
        assert_eq!(app.all_files("/files").await.len(), 0);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_commit_another_transaction_undoes_is_stored_at_the_next_try() {
    for kind in [AT_COMMIT, AFTER_THE_STATEMENT] {
        let app = TestApp::start().await;
        fail_commits(&app.ground.database, kind, "40P01", 3).await;
        let mut accepted = BTreeSet::new();
        for _ in 0..3 {
            let answer = app.post(&json!({"title": "stored"})).await;
            assert_eq!(answer.status, 201, "{kind}: {}", answer.text());
            accepted.insert(answer.json::<File>().id);
        }
        let stored: BTreeSet<FileId> = app.all_files("/files").await.iter().map(|file| file.id).collect();
        assert_eq!(stored, accepted, "{kind}");
        app.stop().await;
    }
}
