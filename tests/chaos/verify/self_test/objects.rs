//! Trials in S3: objects vanish, appear and change.

use super::{Failure, SelfTest};

const ORPHAN: &str = "files/900000_orphan_1.txt";

pub(super) async fn trials(test: &mut SelfTest<'_>) -> Result<(), Failure> {
    let key = test.subjects.one.key.clone();
    let bytes = test.store.get(&key).await?.ok_or("the subject has no object")?;

    test.store.delete(&key).await?;
    test.expect("an object is gone", &["object-missing"]).await;

    let mut altered = bytes.clone();
    *altered.last_mut().ok_or("the object is empty")? ^= 1;
    test.store.put(&key, altered).await?;
    test.expect("one bit of an object is another", &["object-differs"]).await;

    test.store.put(&key, bytes[..bytes.len() / 2].to_vec()).await?;
    test.expect("half of an object is there", &["object-differs"]).await;
    test.store.put(&key, bytes.clone()).await?;

    test.store.put(ORPHAN, bytes).await?;
    test.expect("an object has no row", &["orphan"]).await;
    test.store.delete(ORPHAN).await?;

    let upload = test.store.begin_upload(ORPHAN).await?;
    // The embedded store can't list uploads.
    if test.store.uploads().await?.is_some() {
        test.expect("an upload is left unfinished", &["upload-left"]).await;
    }
    test.store.abort_upload(ORPHAN, &upload).await?;
    test.expect("nothing, once the objects are restored", &[]).await;

    let bucket = std::mem::replace(&mut test.evidence.bucket, "there-is-no-such-bucket".to_owned());
    test.expect("the bucket can't be listed", &["not-verified"]).await;
    test.evidence.bucket = bucket;
    Ok(())
}
