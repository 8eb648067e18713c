//! `--repair`: repairs what it says, leaves what it can't be sure of, and may be repeated.

use filesys::domain::Status;

use super::{completed, key_of, look, plant_file, plant_record, sql};

#[tokio::test]
async fn what_can_be_repaired_is_and_then_nothing_is_wrong() {
    let (roles, files) = completed(&["missing", "cut", "altered", "sound"]).await;
    let keys: Vec<String> = files.iter().map(|file| key_of(&roles, file)).collect();
    let sound = roles.bucket.keys().await;
    let mut contents = Vec::new();
    for key in &keys {
        contents.push(roles.bucket.object(key).await);
    }
    roles.stop_tasks().await;

    roles.bucket.remove(&keys[0]).await;
    roles.bucket.put(&keys[1], b"cut").await;
    roles.bucket.put(&keys[2], &vec![b'x'; contents[2].len()]).await;
    let (failed, deleted) = (plant_file(&roles, "failed", 0).await, plant_file(&roles, "deleted", 0).await);
    let lost = roles.ctx.db.files().reserve_ids(1).await.unwrap().ids[0];
    for key in [
        format!("files/{failed}_planted_1.txt"),
        format!("files/{deleted}_planted_1.txt"),
        format!("files/{lost}_planted_1.txt"),
        format!("files/{}_sound_2.txt", files[3].id),
    ] {
        roles.bucket.put(&key, b"x").await;
    }
    sql(
        &roles,
        &format!(
            "INSERT INTO object_removals (file_id, key, retry_at) VALUES
             ({deleted}, 'files/{deleted}_planted_1.txt', now()), ({1}, '{0}', now())",
            keys[3], files[3].id
        ),
    )
    .await;
    let overdue = plant_file(&roles, "processing", -90).await;
    plant_record(&roles, files[3].id, 1, true).await;

    let run = look(&roles, &["--repair"]).await;
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let expected = [
        ("altered_object", (2, 2)),
        ("missing_object", (1, 1)),
        ("orphan_object", (3, 3)),
        ("overdue_file", (1, 1)),
        ("parked_record", (1, 1)),
        ("waiting_removal", (2, 2)),
    ];
    assert_eq!(run.counts(), expected.map(|(kind, count)| (kind.to_owned(), count)).into());
    assert!(run.list().iter().all(|finding| finding["repaired"] == true && finding["done"].is_string()));
    assert_eq!(run.stderr.matches(" repaired ").count(), run.list().len(), "each is logged: {}", run.stderr);

    assert_eq!(roles.bucket.keys().await, sound, "the objects that rows name, and no others");
    for (key, content) in keys.iter().zip(&contents) {
        assert_eq!(roles.bucket.object(key).await, content);
    }
    let expired = roles.file(overdue).await;
    assert_eq!(
        (expired.status, expired.error.as_deref()),
        (Status::Failed, Some("not finished before its deadline"))
    );
    assert_eq!(roles.ctx.db.object_removals().count().await.unwrap(), 0);
    // What the expired file has to tell waits for serve.
    sql(&roles, "DELETE FROM outbox").await;

    let again = look(&roles, &["--repair"]).await;
    assert_eq!((again.code, again.findings()), (0, vec![]), "{}", again.stdout);
    roles.stop().await;
}

#[tokio::test]
async fn what_another_program_made_is_requested_again() {
    let (roles, files) = completed(&["foreign", "undigested"]).await;
    roles.stop_tasks().await;
    // Made by a worker of other make, from the same request.
    sql(&roles, &format!("UPDATE files SET sha256 = repeat('0', 64) WHERE id = {}", files[0].id)).await;
    let undigested =
        format!("UPDATE files SET sha256 = NULL, size = 9223372036854775807 WHERE id = {}", files[1].id);
    sql(&roles, &undigested).await;
    let run = look(&roles, &["--repair"]).await;
    assert_eq!(run.code, 0, "{}", run.stdout);
    for file in &files {
        let file = roles.file(file.id).await;
        assert_eq!((file.status, file.attempt.0, file.s3_location), (Status::Pending, 2, None));
    }
    roles.stop().await;
}

#[tokio::test]
async fn what_is_not_sure_to_be_right_is_left_and_said() {
    let (roles, files) = completed(&["elsewhere", "sound"]).await;
    roles.stop_tasks().await;
    let id = |place: usize| files[place].id;
    sql(&roles, &format!("UPDATE files SET s3_location = 's3://other/files/{0}_x' WHERE id = {0}", id(0)))
        .await;
    for key in ["files/4000000_x_1.txt", "files/note.txt"] {
        roles.bucket.put(key, b"x").await;
    }
    let pending = plant_file(&roles, "pending", 600).await;
    plant_record(&roles, pending, 1, true).await;
    plant_record(&roles, id(1), 1, false).await;

    let before = roles.bucket.keys().await;
    let run = look(&roles, &["--repair"]).await;
    assert_eq!(run.code, 1);
    let mut done: Vec<(String, String)> = run
        .list()
        .iter()
        .map(|finding| {
            assert_eq!(finding["repaired"], false, "{finding}");
            let text = |name: &str| finding[name].as_str().unwrap().to_owned();
            (text("kind"), text("done"))
        })
        .collect();
    done.sort();
    let expected = [
        ("missing_object", "its row names no object of this bucket"),
        ("orphan_object", "the file's object is not in this bucket"),
        ("orphan_object", "this database has never had a file with this id"),
        ("parked_record", "its file is unfinished: it fails at its deadline"),
        ("unknown_object", "nobody knows whose it is"),
        ("waiting_record", "serve publishes it"),
    ];
    assert_eq!(done, expected.map(|(kind, done)| (kind.to_owned(), done.to_owned())));
    assert_eq!(roles.bucket.keys().await, before);
    assert_eq!(roles.ctx.db.outbox().size().await.unwrap(), 2);
    roles.stop().await;
}

#[tokio::test]
async fn a_bucket_of_another_installation_is_not_emptied() {
    let (roles, _) = completed(&["a"]).await;
    roles.stop_tasks().await;
    for _ in 0..11 {
        let id = plant_file(&roles, "failed", 0).await;
        roles.bucket.put(&format!("files/{id}_theirs_1.txt"), b"x").await;
    }
    let run = look(&roles, &["--repair"]).await;
    assert_eq!((run.code, run.counts()["orphan_object"]), (1, (11, 0)), "{}", run.stdout);
    assert!(run.stdout.contains("is this the database of this bucket?"), "{}", run.stdout);
    assert_eq!(roles.bucket.keys().await.len(), 12);
    roles.stop().await;
}

#[tokio::test]
async fn two_repairs_at_once_do_no_harm() {
    let (roles, files) = completed(&["a", "b", "c"]).await;
    let sound = roles.bucket.keys().await;
    roles.stop_tasks().await;
    for file in &files {
        roles.bucket.remove(&key_of(&roles, file)).await;
        roles.bucket.put(&format!("files/{}_other_1.txt", file.id), b"x").await;
    }
    let (one, other) = tokio::join!(look(&roles, &["--repair"]), look(&roles, &["--repair"]));
    assert_eq!((one.code, other.code), (0, 0), "{}{}", one.stdout, other.stdout);
    assert_eq!(roles.bucket.keys().await, sound);
    assert_eq!(look(&roles, &[]).await.findings(), vec![]);
    roles.stop().await;
}
