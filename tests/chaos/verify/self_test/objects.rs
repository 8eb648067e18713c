//! Trials in S3: objects vanish, appear and change.

use super::{Failure, Lab};

const ORPHAN: &str = "files/900000_nobody_1.txt";

pub(super) async fn trials(lab: &mut Lab<'_>) -> Result<(), Failure> {
    let key = lab.victims.one.key.clone();
    let bytes = lab.store.get(&key).await?.ok_or("the victim has no object")?;

    lab.store.delete(&key).await?;
    lab.see("an object is gone", &["object-missing"]).await;

    let mut altered = bytes.clone();
    *altered.last_mut().ok_or("the object is empty")? ^= 1;
    lab.store.put(&key, altered).await?;
    lab.see("one bit of an object is another", &["object-differs"]).await;

    lab.store.put(&key, bytes[..bytes.len() / 2].to_vec()).await?;
    lab.see("half of an object is there", &["object-differs"]).await;
    lab.store.put(&key, bytes.clone()).await?;

    lab.store.put(ORPHAN, bytes).await?;
    lab.see("an object belongs to nobody", &["orphan"]).await;
    lab.store.delete(ORPHAN).await?;

    let upload = lab.store.begin_upload(ORPHAN).await?;
    // The embedded store can't list uploads.
    if lab.store.uploads().await?.is_some() {
        lab.see("an upload is left unfinished", &["upload-left"]).await;
    }
    lab.store.abort_upload(ORPHAN, &upload).await?;
    lab.see("nothing, once the objects are mended", &[]).await;

    let bucket = std::mem::replace(&mut lab.evidence.bucket, "there-is-no-such-bucket".to_owned());
    lab.see("the bucket can't be listed", &["not-verified"]).await;
    lab.evidence.bucket = bucket;
    Ok(())
}
