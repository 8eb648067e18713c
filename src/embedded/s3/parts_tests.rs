//! Uploads in parts: where their bytes lie, and what becomes of them when they don't come in order, or all.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use ::s3::Bucket;
use ::s3::serde_types::Part;
use tokio::io::AsyncWriteExt;

use super::store_tests::Tmpfs;
use super::tests::{KEY, client, make_bucket, start, status, tree};
use super::*;
use crate::not_run::not_run;

const PART: usize = 5 << 20;

/// Server with an upload that was begun.
struct Begun {
    dir: tempfile::TempDir,
    server: EmbeddedS3,
    bucket: Box<Bucket>,
    id: String,
}

impl Begun {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), Durability::Full).await;
        make_bucket(&server).await.unwrap();
        let bucket = client(&server);
        let id = bucket.initiate_multipart_upload(KEY, "text/plain").await.unwrap().upload_id;
        Self { dir, server, bucket, id }
    }

    async fn restarted(self) -> Self {
        self.server.stop().await;
        let server = start(self.dir.path(), Durability::Full).await;
        Self { bucket: client(&server), server, ..self }
    }

    async fn send(&self, number: u32, byte: u8, size: usize) -> Part {
        let bytes = vec![byte; size];
        self.bucket.put_multipart_chunk(bytes, KEY, number, &self.id, "text/plain").await.unwrap()
    }

    async fn complete(&self, parts: &[&Part]) -> Result<(), u16> {
        let parts = parts.iter().map(|part| (*part).clone()).collect();
        let done = self.bucket.complete_multipart_upload(KEY, &self.id, parts).await;
        done.map(drop).map_err(|error| status(&error))
    }

    fn upload_dir(&self) -> PathBuf {
        self.dir.path().join("objects/.v2/uploads").join(&self.id)
    }

    fn slots_file(&self) -> PathBuf {
        self.upload_dir().join(format!("slots-{PART}"))
    }

    /// Checks that the object has these runs of bytes and that nothing else is stored; returns its inode.
    async fn object(&self, runs: &[(u8, usize)]) -> u64 {
        let expected: Vec<u8> = runs.iter().flat_map(|(byte, size)| vec![*byte; *size]).collect();
        assert!(self.bucket.get_object(KEY).await.unwrap().bytes().as_ref() == expected);
        let files = tree(&self.dir.path().join("objects"));
        assert_eq!(files.len(), 1, "{:?}", files.keys());
        fs::metadata(self.dir.path().join("objects").join(files.keys().next().unwrap())).unwrap().ino()
    }
}

#[tokio::test]
async fn parts_in_whatever_order_become_the_object_without_being_copied() {
    let upload = Begun::new().await;
    let second = upload.send(2, b'b', PART).await;
    // Small, and so a file of its own: it is the only one that is copied.
    let last = upload.send(4, b'd', 10).await;
    let (first, third) = tokio::join!(upload.send(1, b'a', PART), upload.send(3, b'c', PART));
    let inode = fs::metadata(upload.slots_file()).unwrap().ino();
    upload.complete(&[&first, &second, &third, &last]).await.unwrap();
    assert_eq!(upload.object(&[(b'a', PART), (b'b', PART), (b'c', PART), (b'd', 10)]).await, inode);
    upload.server.stop().await;
}

#[tokio::test]
async fn parts_that_were_replaced_left_out_or_have_a_size_of_their_own_are_copied() {
    for (sent, named, expected) in [
        // Sent again.
        (
            vec![(1, b'a', PART), (2, b'b', PART), (1, b'c', PART)],
            vec![2, 1],
            vec![(b'c', PART), (b'b', PART)],
        ),
        // A gap in the numbers.
        (vec![(1, b'a', PART), (3, b'b', PART)], vec![0, 1], vec![(b'a', PART), (b'b', PART)]),
        // Not named.
        (
            vec![(1, b'a', PART), (2, b'b', PART), (3, b'c', PART)],
            vec![0, 2],
            vec![(b'a', PART), (b'c', PART)],
        ),
        (vec![(1, b'a', PART), (2, b'b', PART)], vec![0], vec![(b'a', PART)]),
        // Larger than the slots.
        (vec![(1, b'a', PART), (2, b'b', PART + 1)], vec![0, 1], vec![(b'a', PART), (b'b', PART + 1)]),
        // Smaller than the slots, in the middle.
        (
            vec![(1, b'a', PART + 1), (2, b'b', PART), (3, b'c', 7)],
            vec![0, 1, 2],
            vec![(b'a', PART + 1), (b'b', PART), (b'c', 7)],
        ),
    ] {
        let upload = Begun::new().await;
        let mut parts = Vec::new();
        for (number, byte, size) in sent {
            parts.push(upload.send(number, byte, size).await);
        }
        let listed = tree(&upload.upload_dir());
        let named: Vec<&Part> = named.into_iter().map(|place: usize| &parts[place]).collect();
        upload.complete(&named).await.unwrap_or_else(|status| panic!("{status}: {:?}", listed.keys()));
        upload.object(&expected).await;
        upload.server.stop().await;
    }
}

#[tokio::test]
async fn a_part_that_is_cut_off_is_none_and_can_be_sent_again() {
    let upload = Begun::new().await;
    let first = upload.send(1, b'a', PART).await;
    let query = [("partNumber".to_owned(), "2".to_owned()), ("uploadId".to_owned(), upload.id.clone())];
    let url = upload.bucket.presign_put(KEY, 60, None, Some(query.into())).await.unwrap();
    let path = url.split_once(&upload.server.endpoint()).unwrap().1;
    let mut socket = TcpStream::connect(upload.server.address).await.unwrap();
    let head =
        format!("PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {PART}\r\n\r\n", upload.server.address);
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b'x'; PART / 2]).await.unwrap();
    let has_begun = async {
        while fs::metadata(upload.slots_file()).unwrap().len() <= PART as u64 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(STOP_TIMEOUT, has_begun).await.unwrap();
    // While the first is still coming in: it gets a file of its own.
    let second = upload.send(2, b'b', PART).await;
    drop(socket);
    upload.complete(&[&first, &second]).await.unwrap();
    upload.object(&[(b'a', PART), (b'b', PART)]).await;
    upload.server.stop().await;
}

#[tokio::test]
async fn parts_outlive_a_restart_and_a_completion_that_was_cut_off() {
    let upload = Begun::new().await;
    let (first, second) = (upload.send(1, b'a', PART).await, upload.send(2, b'b', PART).await);
    let third = upload.send(3, b'c', 10).await;
    let mut slots = fs::OpenOptions::new().append(true).open(upload.slots_file()).unwrap();
    slots.write_all(b"what an interrupted completion has appended").unwrap();
    let upload = upload.restarted().await;
    upload.complete(&[&first, &second, &third]).await.unwrap();
    upload.object(&[(b'a', PART), (b'b', PART), (b'c', 10)]).await;
    upload.server.stop().await;
}

#[tokio::test]
async fn what_a_crash_leaves_of_an_upload_that_has_ended_is_no_upload() {
    let upload = Begun::new().await;
    let first = upload.send(1, b'a', PART).await;
    // As if the process had been killed after the file became the object.
    fs::rename(upload.slots_file(), upload.dir.path().join("object")).unwrap();
    upload.send(2, b'b', PART).await;
    assert!(
        !upload.slots_file().exists(),
        "no second file is made, in which the first part would be missing"
    );
    assert_eq!(upload.complete(&[&first]).await, Err(404));
    assert!(!upload.upload_dir().exists());

    let upload = Begun::new().await;
    upload.send(1, b'a', PART).await;
    fs::rename(upload.slots_file(), upload.dir.path().join("object")).unwrap();
    // As if it had been killed while it aborted another.
    let other = upload.upload_dir().with_file_name("0123456789abcdef0123456789abcdef");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("00001-0cc175b9c0f1b6a831c399e269772661"), "a").unwrap();
    let upload = upload.restarted().await;
    assert!(!upload.upload_dir().exists() && !other.exists());
    upload.server.stop().await;
}

#[tokio::test]
async fn a_part_that_finds_no_space_takes_none() {
    let Some(disk) = Tmpfs::mount("16m") else {
        not_run("a file system of its own can't be mounted");
        return;
    };
    let server = start(disk.0.path(), Durability::Full).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    let id = bucket.initiate_multipart_upload(KEY, "text/plain").await.unwrap().upload_id;
    let send = async |number, byte: u8| {
        bucket.put_multipart_chunk(vec![byte; PART], KEY, number, &id, "text/plain").await
    };
    let first = send(1, b'a').await.unwrap();
    let filler = disk.0.path().join("filler");
    fs::write(&filler, vec![b'x'; 7 << 20]).unwrap();
    assert_eq!(status(&send(2, b'b').await.unwrap_err()), 507);
    bucket.put_object("small", &vec![b'x'; 2 << 20]).await.unwrap();
    fs::remove_file(&filler).unwrap();
    let second = send(2, b'c').await.unwrap();
    bucket.complete_multipart_upload(KEY, &id, vec![first, second]).await.unwrap();
    let expected = [vec![b'a'; PART], vec![b'c'; PART]].concat();
    assert!(bucket.get_object(KEY).await.unwrap().bytes().as_ref() == expected);
    server.stop().await;
}
