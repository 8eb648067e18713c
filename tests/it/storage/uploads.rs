//! Objects that are stored in pieces and in parts.

use bytes::Bytes;
use filesys::storage::{Part, Storage, StorageError, Stored, UnfinishedUpload};
use sha2::{Digest, Sha256};

use crate::support::Bucket;

const KEY: &str = "uploads/anonymous/1/movie.mp4";
/// S3's minimum of every part but the last.
const PART_BYTES: usize = 5 << 20;

fn digest(pieces: &[Bytes]) -> [u8; 32] {
    Sha256::digest(pieces.concat()).into()
}

/// Bytes that differ from place to place, in pieces of 100,000.
fn pieces(seed: u8, size: usize) -> Vec<Bytes> {
    let bytes: Vec<u8> = (0..=250).cycle().take(size).map(|byte: u8| byte ^ seed).collect();
    bytes.chunks(100_000).map(Bytes::copy_from_slice).collect()
}

async fn put_part(storage: &Storage, id: &str, number: u16, pieces: &[Bytes]) -> Part {
    storage.put_part(KEY, id, number, pieces, digest(pieces)).await.unwrap()
}

#[tokio::test]
async fn an_object_is_stored_in_pieces_and_may_be_empty() {
    let bucket = Bucket::named_uniquely();
    let storage = bucket.made().await;
    for pieces in [vec![], vec![Bytes::new()], vec!["a".into(), Bytes::new(), "b".into()], pieces(1, 300_001)]
    {
        let stored = storage.put_pieces(KEY, "video/mp4", &pieces, digest(&pieces)).await.unwrap();
        assert_eq!(stored, Stored::of(&pieces.concat()));
        assert_eq!(bucket.object(KEY).await, pieces.concat());
        storage.verify(KEY, &stored).await.unwrap();
    }
    let error = storage.verify(KEY, &Stored::of(b"other")).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt(_)), "{error}");
    let error = storage.put_pieces(KEY, "video/mp4", &["a".into()], [0; 32]).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt(_)), "{error}");
    // LocalStack overwrites the object before it compares the checksum.
    if Bucket::is_embedded() {
        assert_eq!(bucket.object(KEY).await.len(), 300_001, "what was there has stayed");
    }
}

#[tokio::test]
async fn parts_become_an_object_in_their_order_whatever_the_order_they_came_in() {
    let bucket = Bucket::named_uniquely();
    let storage = bucket.made().await;
    let id = storage.start_upload(KEY, "video/mp4").await.unwrap();
    let contents = [pieces(1, PART_BYTES), pieces(2, PART_BYTES + 1), pieces(3, 10)];
    let last = put_part(&storage, &id, 3, &contents[2]).await;
    put_part(&storage, &id, 1, &contents[1]).await;
    let (first, second) =
        tokio::join!(put_part(&storage, &id, 1, &contents[0]), put_part(&storage, &id, 2, &contents[1]));
    let parts = [first, second, last];
    assert!(parts.iter().all(|part| part.confirmed), "{parts:?}");
    assert_eq!(parts.each_ref().map(|part| part.size), [5 << 20, (5 << 20) + 1, 10]);
    assert_eq!(storage.list_parts(KEY, &id).await.unwrap(), parts);
    let listed = storage.list_uploads("uploads/", None).await.unwrap().unwrap();
    assert_eq!(listed.uploads.iter().map(|upload| &upload.id).collect::<Vec<_>>(), [&id]);

    // As a row keeps them.
    let parts: Vec<Part> = serde_json::from_value(serde_json::to_value(&parts).unwrap()).unwrap();
    storage.complete_upload(KEY, &id, &parts).await.unwrap();
    let whole = contents.concat().concat();
    assert!(bucket.object(KEY).await == whole);
    storage.verify(KEY, &Stored::of(&whole)).await.unwrap();
    assert!(storage.list_uploads("uploads/", None).await.unwrap().unwrap().uploads.is_empty());
    if Bucket::is_embedded() {
        let again = storage.complete_upload(KEY, &id, &parts).await.unwrap_err();
        assert!(matches!(again, StorageError::NotFound(_)), "{again}");
    }
}

#[tokio::test]
async fn a_part_that_was_altered_on_the_way_is_refused() {
    let storage = Bucket::named_uniquely().made().await;
    let id = storage.start_upload(KEY, "video/mp4").await.unwrap();
    let error = storage.put_part(KEY, &id, 1, &["a".into()], [0; 32]).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt(_)), "{error}");
    let missing = Part { number: 1, etag: "\"x\"".into(), size: 1, sha256: String::new(), confirmed: false };
    let error = storage.complete_upload(KEY, &id, &[missing]).await.unwrap_err();
    assert!(matches!(error, StorageError::Other(_)), "{error}");
}

#[tokio::test]
async fn an_upload_that_is_gone_takes_no_parts_and_makes_no_object() {
    let bucket = Bucket::named_uniquely();
    let storage = bucket.made().await;
    let id = storage.start_upload(KEY, "video/mp4").await.unwrap();
    let part = put_part(&storage, &id, 1, &["a".into()]).await;
    let listed = storage.list_uploads("uploads/", None).await.unwrap().unwrap();
    let upload: &UnfinishedUpload = &listed.uploads[0];
    for _ in 0..2 {
        storage.abort_upload(upload).await.unwrap();
    }
    let error = storage.put_part(KEY, &id, 2, &["a".into()], digest(&["a".into()])).await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound(_)), "{error}");
    let error = storage.complete_upload(KEY, &id, &[part]).await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound(_)), "{error}");
    assert!(bucket.keys().await.is_empty());
}
