//! Uploads that are unfinished, and what is left of others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use filesys::actions::uploads::{self, AppendRequest, NewUpload, Piece, Started};
use filesys::domain::uploads::GivenFields;
use filesys::domain::{FileId, MediaType, Status};
use filesys::jobs::remove_objects;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{completed, env, fsck, look, sql};
use crate::support::roles::Roles;

/// Proxy in front of the embedded store that lists uploads and forwards everything else.
struct Front {
    endpoint: String,
    /// Keys and ids of the open uploads, as they appear in request lines.
    uploads: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

impl Front {
    async fn of(store: &str, uploads: Vec<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let uploads = Arc::new(Mutex::new(uploads));
        let (store, known) = (store.strip_prefix("http://").unwrap().to_owned(), Arc::clone(&uploads));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, store.clone(), Arc::clone(&known)));
            }
        });
        Self { endpoint, uploads }
    }
}

/// Answers one request; requests have no bodies.
async fn serve(mut client: TcpStream, store: String, uploads: Arc<Mutex<Vec<(&'static str, &'static str)>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap();
    let (path, query) = line.split(' ').nth(1).unwrap().split_once('?').unwrap_or_default();
    let upload = query.split('&').find_map(|part| part.strip_prefix("uploadId="));
    let answer = if let (true, Some(upload)) = (line.starts_with("DELETE "), upload) {
        uploads.lock().unwrap().retain(|(key, id)| !(path.ends_with(key) && upload == *id));
        "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned()
    } else if line.starts_with("GET ") && line.contains("uploads=") {
        let body = listing(&uploads.lock().unwrap(), line);
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    } else {
        let mut upstream = TcpStream::connect(store).await.unwrap();
        let request = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        upstream.write_all(request.as_bytes()).await.unwrap();
        let _ = tokio::io::copy(&mut upstream, &mut client).await;
        return;
    };
    let _ = client.write_all(answer.as_bytes()).await;
}

/// Lists the uploads with the prefix that the query names, one in each page.
fn listing(uploads: &[(&str, &str)], line: &str) -> String {
    let prefix = line.split_once("prefix=").unwrap().1.split(['&', ' ']).next().unwrap().replace("%2F", "/");
    let uploads: Vec<_> = uploads.iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
    let place = uploads.iter().position(|(_, id)| line.contains(&format!("upload-id-marker={id}")));
    let place = place.map_or(0, |place| place + 1);
    let Some((key, id)) = uploads.get(place) else { return "<ListMultipartUploadsResult/>".to_owned() };
    let at = if *id == "young" { "2999-01-01T00:00:00.000Z" } else { "2026-01-03T00:00:00.000Z" };
    format!(
        "<ListMultipartUploadsResult><NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>\
         <IsTruncated>{}</IsTruncated><Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{at}</Initiated>\
         </Upload></ListMultipartUploadsResult>",
        place + 1 < uploads.len()
    )
}

#[tokio::test]
async fn abandoned_uploads_are_found_and_aborted_and_young_ones_left() {
    let (roles, files) = completed(&["a"]).await;
    let store = roles.bucket.config.endpoint.clone().unwrap();
    let planted = vec![
        ("files/7_x_1.txt", "one"),
        ("files/8_x_1.txt", "young"),
        ("files/movie.mp4", "two"),
        ("uploads/a/9/x.txt", "three"),
    ];
    let front = Front::of(&store, planted).await;
    let mut env = env(&roles.database, &roles.bucket);
    env.retain(|(name, _)| *name != "S3_ENDPOINT");
    env.push(("S3_ENDPOINT", front.endpoint.clone()));

    let found = fsck(&["--output", "json"], env.clone()).await;
    let upload = |id: Option<i64>, key: &str| ("abandoned_upload".to_owned(), id, key.to_owned());
    let expected = vec![
        upload(None, "files/movie.mp4"),
        upload(Some(7), "files/7_x_1.txt"),
        upload(Some(9), "uploads/a/9/x.txt"),
    ];
    assert_eq!((found.code, found.findings()), (1, expected), "{}", found.stderr);
    assert_eq!(found.document["notes"], serde_json::json!([]));
    assert_eq!((found.number("read"), front.uploads.lock().unwrap().len()), (files.len() as u64, 4));

    let repaired = fsck(&["--output", "json", "--repair"], env.clone()).await;
    assert_eq!((repaired.code, repaired.counts()["abandoned_upload"]), (0, (3, 3)), "{}", repaired.stderr);
    assert_eq!(*front.uploads.lock().unwrap(), [("files/8_x_1.txt", "young")]);
    assert_eq!(fsck(&["--output", "json"], env).await.code, 0);
    roles.stop().await;
}

/// Starts an upload of 20 MiB and sends 9: a part and a tail. Returns the file and the key of its object.
async fn nine_of_twenty(roles: &Roles) -> (FileId, String) {
    let new = NewUpload {
        fields: GivenFields::default().check(Some("movie.mp4"), None).unwrap(),
        media_type: MediaType::unknown(),
        warning: None,
        length: Some(20 << 20),
        is_resumable: true,
        tus_metadata: None,
        expires_in: Duration::from_hours(1),
    };
    let Started { file, receiver } = uploads::start(&roles.ctx, &new).await.unwrap();
    let (sender, pieces) = uploads::pieces();
    let send = async {
        sender.send(Piece::Bytes(vec![b'x'; 9 << 20].into())).await.unwrap();
        sender.send(Piece::End).await.unwrap();
    };
    let (written, ()) = tokio::join!(uploads::write(&roles.ctx, receiver, None, pieces), send);
    assert_eq!(written.unwrap().offset, 9 << 20);
    let key = roles.database.one(&format!("SELECT key::text FROM uploads WHERE file_id = {}", file.id)).await;
    // Nobody publishes here.
    sql(roles, "DELETE FROM outbox").await;
    (file.id, key)
}

/// Sends the other eleven, which complete the file.
async fn eleven_more(roles: &Roles, id: FileId) {
    let request = AppendRequest { offset: 9 << 20, ..AppendRequest::default() };
    let (sender, pieces) = uploads::pieces();
    let send = async {
        sender.send(Piece::Bytes(vec![b'y'; 11 << 20].into())).await.unwrap();
        sender.send(Piece::End).await.unwrap();
    };
    let (appended, ()) = tokio::join!(uploads::append(&roles.ctx, id, request, pieces), send);
    assert!(appended.unwrap().file.is_some());
    sql(roles, "DELETE FROM outbox").await;
}

async fn removals_end(roles: &Roles) {
    sql(roles, "UPDATE object_removals SET retry_at = now()").await;
    while remove_objects::process_batch(&roles.ctx).await.unwrap() > 0 {}
}

#[tokio::test]
async fn what_an_upload_has_stored_is_no_finding_and_a_repair_leaves_it() {
    let roles = Roles::new().await;
    let (id, key) = nine_of_twenty(&roles).await;
    let stored = (vec![format!("{key}.tail-1")], vec![key.clone()]);
    for args in [&[] as &[&str], &["--repair"]] {
        let run = look(&roles, args).await;
        assert_eq!((run.code, run.findings()), (0, vec![]), "{}{}", run.stdout, run.stderr);
        assert_eq!((roles.bucket.keys().await, roles.bucket.multipart_uploads().await), stored);
    }
    eleven_more(&roles, id).await;
    // Its tails wait to be removed.
    sql(&roles, "UPDATE object_removals SET created_at = now() + interval '1 h'").await;
    let run = look(&roles, &[]).await;
    assert_eq!((run.code, run.findings()), (0, vec![]), "{}", run.stdout);
    removals_end(&roles).await;
    assert_eq!((roles.bucket.keys().await, roles.bucket.multipart_uploads().await), (vec![key], vec![]));
    roles.stop().await;
}

#[tokio::test]
async fn what_is_left_of_uploads_is_removed_and_what_only_their_owners_have_is_said() {
    let roles = Roles::new().await;
    let mut uploaded = Vec::new();
    for _ in 0..3 {
        let (id, key) = nine_of_twenty(&roles).await;
        eleven_more(&roles, id).await;
        uploaded.push((id, key));
    }
    removals_end(&roles).await;
    let [(missing, missing_key), (altered, altered_key), (sound, sound_key)] = uploaded.try_into().unwrap();
    roles.bucket.remove(&missing_key).await;
    roles.bucket.put(&altered_key, b"other").await;
    let tail = format!("{sound_key}.tail-0");
    roles.bucket.put(&tail, b"x").await;
    roles.ctx.storage.start_upload(&sound_key, "video/mp4").await.unwrap();
    let lost = roles.ctx.db.files().reserve_ids(1).await.unwrap().ids[0];
    let lost_key = format!("uploads/anonymous/{lost}/x.txt");
    roles.bucket.put(&lost_key, b"x").await;
    roles.ctx.storage.start_upload(&lost_key, "text/plain").await.unwrap();
    let (overdue, overdue_key) = nine_of_twenty(&roles).await;
    sql(&roles, "UPDATE uploads SET expires_at = now() - interval '2 min'").await;

    let found = |kind: &str, id: FileId, key: &str| (kind.to_owned(), Some(id.0), key.to_owned());
    let mut unrepairable =
        vec![found("altered_object", altered, &altered_key), found("missing_object", missing, &missing_key)];
    let mut expected = vec![
        found("orphan_object", sound, &tail),
        found("orphan_object", lost, &lost_key),
        found("abandoned_upload", sound, &sound_key),
        found("abandoned_upload", lost, &lost_key),
        found("overdue_file", overdue, ""),
    ];
    expected.extend(unrepairable.clone());
    expected.sort();
    unrepairable.sort();
    assert_eq!(look(&roles, &[]).await.findings(), expected);

    let run = look(&roles, &["--repair"]).await;
    assert_eq!(run.findings(), expected);
    for finding in run.list() {
        let is_lost = ["altered_object", "missing_object"].contains(&finding["kind"].as_str().unwrap());
        assert_eq!(finding["repaired"], !is_lost, "{finding}");
        let done = finding["done"].as_str().unwrap();
        assert_eq!(is_lost, done.starts_with("nobody but its owner has the bytes"), "{finding}");
    }
    assert_eq!(roles.file(overdue).await.status, Status::Failed);
    sql(&roles, "DELETE FROM outbox").await;
    // The part and the tail of the one that expired.
    let run = look(&roles, &["--repair"]).await;
    assert!(
        run.list().iter().filter(|one| one["kind"] == "waiting_removal").all(|one| one["repaired"] == true)
    );
    assert_eq!(roles.bucket.multipart_uploads().await, [""; 0], "{overdue_key}");
    assert_eq!(roles.bucket.keys().await, [altered_key, sound_key]);
    assert_eq!(look(&roles, &[]).await.findings(), unrepairable);
    roles.stop().await;
}
