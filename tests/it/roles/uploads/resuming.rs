//! Uploads that are cut off and resumed, also through another server.

use futures_util::{StreamExt, stream};

use super::{MIB, Unfinished, assert_holds, content, create, finish, named_keys, sha256, stored_at_least};
use crate::support::process::Process;
use crate::support::{Api, TestApp};

const STEP: usize = 64 * 1024;
const SIZE: usize = 6 * MIB;
/// Bytes that a server has read at most and not handed on.
const UNREAD: usize = 4 * STEP;

#[tokio::test]
async fn an_upload_cut_at_any_64_kib_and_resumed_through_another_server_is_the_same() {
    let one = TestApp::start().await;
    let data_dir = one.ground.log().with_file_name("another");
    let (log, env) = (one.ground.log().with_file_name("another.log"), one.ground.env(&[]));
    let mut process = Process::spawn(&["up", "--data-dir", data_dir.to_str().unwrap()], &env, &log);
    let line = process.line().await;
    let other = Api::at(line.strip_prefix("filesys is ready: ").unwrap());

    let bytes = content(6, SIZE);
    let whole = sha256(&bytes);
    let parts = (&one, &other, &bytes, &whole);
    let cut_and_resume = |cut: usize| async move {
        let (one, other, bytes, whole) = parts;
        let id = create(one, &format!("{cut}.bin"), SIZE).await;
        drop(Unfinished::begin(one, id, 0, SIZE, &bytes[..cut]).await);
        // What came is kept, but for what its server had not handed on when the connection broke.
        let kept = stored_at_least(other, id, cut.saturating_sub(UNREAD)).await;
        assert!(kept <= cut, "cut at {cut}, {kept} kept");
        finish(other, id, bytes, SIZE).await;
        let file = one.file(id).await;
        assert_eq!(
            (file.size, file.sha256.as_ref()),
            (i64::try_from(SIZE).ok(), Some(whole)),
            "cut at {cut}"
        );
        if cut.is_multiple_of(16 * STEP) {
            assert_eq!(sha256(&other.content(id).await.ok().body), *whole, "cut at {cut}");
        }
    };
    let cuts = stream::iter((0..SIZE).step_by(STEP).skip(1));
    cuts.map(cut_and_resume).buffer_unordered(6).collect::<Vec<()>>().await;
    let keys = named_keys(&one.ground.database, &one.ground.bucket).await;
    assert_eq!(keys.len(), SIZE / STEP - 1);
    super::removals_end(&one.ground.database).await;
    assert_holds(&one.ground.bucket, &keys).await;
    process.stop_within(std::time::Duration::from_secs(30)).await;
    one.stop().await;
}
