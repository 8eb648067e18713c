//! The timeline: every transition of a file, and who made it.

use filesys::domain::{Attempt, Status};

use crate::support::TestApp;

#[tokio::test]
async fn a_timeline_tells_every_change_and_who_made_it() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let lines = app.timeline(file.id).await;
    let moves: Vec<_> = lines.iter().map(|line| (line.from, line.to)).collect();
    assert_eq!(
        moves,
        [
            (None, Status::Pending),
            (Some(Status::Pending), Status::Processing),
            (Some(Status::Processing), Status::Completed),
        ]
    );
    assert!(lines.is_sorted_by_key(|line| line.at));
    assert_eq!(lines[0].at, file.created_at);
    assert_eq!(lines[2].at, file.updated_at);
    assert!(lines.iter().all(|line| line.attempt == Attempt::FIRST));
    for line in &lines[1..] {
        let worker = line.worker.as_deref().expect("who did it");
        assert!(worker.starts_with("file-service-"), "{worker}");
        assert!(matches!(line.partition, Some(0..=2)), "{line:?}");
        assert_eq!(line.offset, Some(0));
    }
    assert!(lines[2].duration_ms.is_some_and(|took| took >= 0));
    app.stop().await;
}
