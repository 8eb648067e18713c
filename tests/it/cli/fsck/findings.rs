//! Findings of `fsck`: each kind of disagreement is made once.

use filesys::domain::Status;
use serde_json::json;

use super::{completed, env, fsck, key_of, look, plant_file, plant_record, sql};
use crate::cli::{code, filesys, stderr};
use crate::support::roles::Roles;
use crate::support::{Bucket, TestApp};

/// Roles without a relay, which would publish the rows that a test inserts.
async fn quiet() -> Roles {
    Roles::new().await
}

#[tokio::test]
async fn nothing_is_wrong_with_a_healthy_store() {
    let (roles, files) = completed(&["a", "b", "c"]).await;
    // Young: it may be anybody's work under way.
    roles.bucket.put("files/999_x_1.txt", b"x").await;
    roles.bucket.put("files/note.txt", b"x").await;
    let pending = plant_file(&roles, "pending", 60).await;
    let late = plant_file(&roles, "processing", -30).await;
    plant_record(&roles, pending, 300, false).await;
    sql(
        &roles,
        &format!("INSERT INTO object_removals (file_id, key, retry_at) VALUES ({late}, 'files/x', now())"),
    )
    .await;
    let run = fsck(&["--output", "json"], env(&roles.database, &roles.bucket)).await;
    assert_eq!((run.code, run.findings()), (0, vec![]), "{}", run.stdout);
    assert_eq!((run.number("objects"), run.number("files"), run.number("read")), (5, files.len() as u64, 3));
    assert_eq!(run.document["dry_run"], true);
    roles.stop().await;
}

#[tokio::test]
async fn objects_of_files_under_way_are_left_alone_however_old_they_are() {
    let roles = quiet().await;
    for status in ["pending", "processing"] {
        let id = plant_file(&roles, status, 600).await;
        roles.bucket.put(&format!("files/{id}_planted_1.txt"), b"x").await;
    }
    // To be decided once the file is finished.
    let id = plant_file(&roles, "pending", 600).await;
    sql(
        &roles,
        &format!("INSERT INTO object_removals (file_id, key, retry_at) VALUES ({id}, 'files/{id}_x', now())"),
    )
    .await;
    let run = look(&roles, &[]).await;
    assert_eq!((run.code, run.findings()), (0, vec![]), "{}", run.stdout);
    roles.stop().await;
}

#[tokio::test]
async fn everything_that_is_planted_is_found_and_nothing_is_changed() {
    let (roles, files) = completed(&["missing", "cut", "altered", "sound", "elsewhere", "silent"]).await;
    let keys: Vec<String> = files.iter().map(|file| key_of(&roles, file)).collect();
    let id = |place: usize| files[place].id;
    roles.stop_tasks().await;

    roles.bucket.remove(&keys[0]).await;
    roles.bucket.put(&keys[1], b"cut").await;
    let mut bytes = roles.bucket.object(&keys[2]).await.to_vec();
    bytes[20] ^= 1;
    roles.bucket.put(&keys[2], &bytes).await;
    sql(&roles, &format!("UPDATE files SET s3_location = 's3://other/files/{0}_x' WHERE id = {0}", id(4)))
        .await;
    // Of a worker of other make.
    sql(&roles, &format!("UPDATE files SET sha256 = NULL WHERE id = {}", id(5))).await;

    let second = format!("files/{}_sound_2.txt", id(3));
    let [failed, cancelled, deleted] = [
        plant_file(&roles, "failed", 0),
        plant_file(&roles, "cancelled", 0),
        plant_file(&roles, "deleted", 0),
    ];
    let (failed, cancelled, deleted) = (failed.await, cancelled.await, deleted.await);
    let lost = roles.ctx.db.files().reserve_ids(1).await.unwrap().ids[0];
    let orphans = [failed, cancelled, deleted, lost].map(|id| (id, format!("files/{id}_planted_1.txt")));
    for (_, key) in &orphans {
        roles.bucket.put(key, b"x").await;
    }
    let uploaded = ["uploads/anonymous/4000001/x.txt.tail-1", "uploads/x.txt"];
    for key in [&second, "files/4000000_x_1.txt", "files/note.txt", "files/deep/a b+é.txt", "outside.txt"]
        .into_iter()
        .chain(uploaded)
    {
        roles.bucket.put(key, b"x").await;
    }
    sql(
        &roles,
        &format!(
            "INSERT INTO object_removals (file_id, key, retry_at, created_at)
             VALUES ({deleted}, '{}', now() + interval '9 s', now() - interval '1 hour')",
            orphans[2].1
        ),
    )
    .await;
    let overdue = plant_file(&roles, "processing", -90).await;
    plant_file(&roles, "pending", -30).await;
    plant_record(&roles, id(3), 1, true).await;
    plant_record(&roles, id(3), 1, false).await;

    let before = roles.bucket.keys().await;
    let run = look(&roles, &[]).await;
    let mut expected = vec![
        ("missing_object", Some(id(0)), keys[0].as_str()),
        ("missing_object", Some(id(4)), ""),
        ("altered_object", Some(id(1)), &keys[1]),
        ("altered_object", Some(id(2)), &keys[2]),
        ("orphan_object", Some(id(3)), &second),
        ("orphan_object", Some(id(4)), &keys[4]),
        ("orphan_object", Some(failed), &orphans[0].1),
        ("orphan_object", Some(cancelled), &orphans[1].1),
        ("orphan_object", Some(lost), &orphans[3].1),
        ("orphan_object", Some(filesys::domain::FileId(4_000_000)), "files/4000000_x_1.txt"),
        ("orphan_object", Some(filesys::domain::FileId(4_000_001)), uploaded[0]),
        ("unknown_object", None, uploaded[1]),
        ("unknown_object", None, "files/note.txt"),
        ("unknown_object", None, "files/deep/a b+é.txt"),
        ("waiting_removal", Some(deleted), &orphans[2].1),
        ("overdue_file", Some(overdue), ""),
        ("parked_record", Some(id(3)), ""),
        ("waiting_record", Some(id(3)), ""),
    ]
    .into_iter()
    .map(|(kind, id, key)| (kind.to_owned(), id.map(|id| id.0), key.to_owned()))
    .collect::<Vec<_>>();
    expected.sort();
    assert_eq!(run.findings(), expected);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("18 findings"), "{}", run.stderr);
    let notes = run.document["notes"].to_string();
    assert!(notes.contains("1 completed files have no SHA-256"), "{notes}");
    assert!(!notes.contains("uploads"), "{notes}");
    assert_eq!(roles.bucket.keys().await, before);
    assert_eq!(look(&roles, &[]).await.findings(), expected, "the same again: nothing was changed");
    roles.stop().await;
}

#[tokio::test]
async fn a_finding_in_json_says_what_is_wrong_and_the_table_shows_the_same() {
    let (roles, files) = completed(&["a"]).await;
    let key = key_of(&roles, &files[0]);
    roles.bucket.put(&key, b"cut").await;
    let run = look(&roles, &["--seed", "18446744073709551615"]).await;
    let size = files[0].size.unwrap();
    let finding = json!({
        "kind": "altered_object", "file_id": files[0].id, "key": key,
        "what": format!("3 bytes instead of {size}"), "repaired": false, "done": null
    });
    assert_eq!(run.document["findings"], json!([finding]));
    assert_eq!(run.document["counts"][1], json!({"kind": "altered_object", "found": 1, "repaired": 0}));
    for (name, value) in [
        ("bucket", json!(roles.bucket.name())),
        ("checksums", json!("all")),
        ("objects", json!(1)),
        ("files", json!(1)),
        ("read", json!(0)),
        ("seed", json!(u64::MAX)),
        ("unlisted", json!(0)),
    ] {
        assert_eq!(run.document[name], value, "{name}");
    }

    let table = fsck(&["--seed", "7"], env(&roles.database, &roles.bucket)).await;
    assert_eq!(table.code, 1);
    for part in ["KIND", "altered_object  ", &key, "bytes instead of", "1 objects in bucket", "--seed 7"] {
        assert!(table.stdout.contains(part), "{part}: {}", table.stdout);
    }
    assert!(!table.stdout.contains("note: "), "{}", table.stdout);
    assert!(!table.stderr.contains('\u{1b}'), "no bar where there is no terminal: {}", table.stderr);
    roles.stop().await;
}

#[tokio::test]
async fn no_alarm_is_raised_while_files_are_made_and_removed() {
    let app = TestApp::start_with(&[("WORKER_CONCURRENCY", "4"), ("PROCESSING_DELAY_MS", "20")]).await;
    let env = || env(&app.ground.database, &app.ground.bucket);
    // Then there is a bucket.
    let first = app.post_files(["the first".to_owned()]).await.remove(0);
    app.wait_until(first.id, Status::Completed).await;
    let work = async {
        for round in 0..4 {
            let files = app.post_files((0..40).map(|n| format!("file {round} {n}"))).await;
            for file in files.iter().step_by(5) {
                app.wait_until(file.id, Status::Completed).await;
                let answer =
                    app.request(reqwest::Method::DELETE, &format!("/files/{}", file.id)).send().await;
                assert_eq!(answer.unwrap().status(), 204);
            }
        }
    };
    let mut work = Box::pin(work);
    loop {
        // No grace for objects: those of files under way are young, and all the same no findings.
        let strict = ["--output", "json", "--checksums", "all", "--grace", "0s"];
        let usual = ["--output", "json", "--checksums", "all"];
        let both = async { (fsck(&strict, env()).await, fsck(&usual, env()).await) };
        let mut both = std::pin::pin!(both);
        let mut done = false;
        let (strict, usual) = loop {
            tokio::select! {
                both = &mut both => break both,
                () = &mut work, if !done => done = true,
            }
        };
        assert_eq!((usual.code, usual.findings()), (0, vec![]), "{}{}", usual.stdout, usual.stderr);
        // What waits for serve for a moment is older than nothing; objects and rows agree at any moment.
        let waits = ["waiting_record", "waiting_removal"];
        let alarms: Vec<_> =
            strict.findings().into_iter().filter(|(kind, ..)| !waits.contains(&kind.as_str())).collect();
        assert_eq!(alarms, vec![], "{}", strict.stdout);
        if done {
            break;
        }
    }
    drop(work);
    app.stop().await;
}

#[tokio::test]
async fn what_is_away_or_wrong_has_its_exit_code() {
    let (roles, _) = completed(&[]).await;
    let good = env(&roles.database, &roles.bucket);
    let with = |name: &'static str, value: &str| {
        let mut env = good.clone();
        env.retain(|(known, _)| *known != name);
        env.push((name, value.to_owned()));
        env
    };
    for (name, value) in [
        ("DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/d"),
        ("S3_ENDPOINT", "http://127.0.0.1:1"),
        ("S3_BUCKET", "there-is-no-such-bucket"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
    ] {
        if name == "AWS_SECRET_ACCESS_KEY" && !Bucket::is_embedded() {
            continue;
        }
        let run = fsck(&[], with(name, value)).await;
        assert_eq!((run.code, run.stdout.as_str()), (69, ""), "{name}: {}", run.stderr);
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    }
    let bad = filesys(&["fsck"], &[("DATABASE_URL", "mysql://h")]);
    assert_eq!(code(&bad), 78);
    for name in ["DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        assert!(stderr(&bad).contains(name), "{}", stderr(&bad));
    }
    for args in [["fsck", "--grace", "soon"], ["fsck", "--checksums", "some"], ["fsck", "--seed", "-1"]] {
        assert_eq!(code(&filesys(&args, &[])), 2, "{args:?}");
    }
    roles.stop().await;
}
