//! Consumer groups as operators see them: asked for with Kafka's own tools.

use crate::support::own::Own;

#[tokio::test]
async fn nothing_is_in_a_new_cluster() {
    let Some(kafka) = Own::kafka().await else { return };
    assert_eq!(kafka.run(&["tool", "topics", "--list"]).await, "");
}
