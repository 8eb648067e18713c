//! The page of dead letters, by links and forms alone.

use super::visitor::{Visitor, between};
use crate::support::TestApp;

#[tokio::test]
async fn dead_letters_are_looked_at_replayed_and_discarded_by_links_and_buttons() {
    let app = TestApp::start().await;
    let page = "/ui/dead-letters";
    let none = app.get(page).await.ok().text();
    assert!(none.contains("No dead letter is open.") && !none.contains("class=\"count\""), "{none}");
    let id = app.broken_file().await;
    app.publish("file.create", "<not json>").await;
    app.dead_letters("/dead-letters", 2).await;
    let visitor = Visitor::new(&app).await;
    assert!(app.get("/").await.text().contains("<span class=\"unseen\">open: </span>2</span>"));

    let file = app.get(&format!("/ui/files/{id}")).await.ok().text();
    let link =
        between(&file, "id=\"dead-letters\" href=\"", "\"").replace("&#38;", "&").replace("&amp;", "&");
    assert_eq!(link, format!("/ui/dead-letters?state=all&file_id={id}"));
    let its_own = app.get(&link).await.ok().text();
    assert!(its_own.contains(&format!("href=\"/ui/files/{id}\"")), "{its_own}");
    assert!(its_own.contains("not a file.create message") && !its_own.contains("not json"), "{its_own}");
    let first = between(&its_own, "id=\"dead-letter-", "\"").to_owned();

    let both = app.get(page).await.ok().text();
    assert!(both.contains("&#60;not json&#62;") && !both.contains("<not"), "{both}");
    for (dead_letter, action, words) in
        [(first.as_str(), "replay", "is replayed"), (other(&both, &first), "discard", "is discarded")]
    {
        let path = format!("{page}/{dead_letter}/{action}");
        assert!(both.contains(&format!("action=\"{path}\"")), "{path}: {both}");
        let pressed = visitor.press(&path).await;
        let location = pressed.header("location").unwrap_or_default().to_owned();
        assert_eq!((pressed.status, location.as_str()), (303, &*format!("{page}?{action}ed={dead_letter}")));
        let after = app.get(&location).await.ok().text();
        assert!(after.contains(&format!("Dead letter #{dead_letter} {words}")), "{after}");
        assert!(!after.contains(&path), "{after}");
    }
    app.wait_until_completed(id).await;
    let resolved = app.get(&format!("{page}?state=all")).await.ok().text();
    let buttons = resolved.matches("<button id=").count();
    assert_eq!(buttons, 1, "a discarded one may be replayed: {resolved}");

    let refused = visitor.press(&format!("{page}/{first}/discard")).await;
    assert_eq!((refused.status, refused.header("content-type")), (409, Some("text/html; charset=utf-8")));
    let forged = Visitor { app: &app, token: "x".to_owned(), cookie: visitor.cookie.clone() };
    assert_eq!(forged.press(&format!("{page}/{first}/replay")).await.status, 403);
    let reloaded = app.get(&format!("{page}/{first}/replay")).await;
    assert_eq!((reloaded.status, reloaded.header("location")), (303, Some(page)));
    for (path, status) in [("?state=x", 400), ("?file_id=x", 400), ("?limit=0", 400), ("?cursor=x", 400)] {
        assert_eq!(app.get(&format!("{page}{path}")).await.status, status, "{path}");
    }
    app.stop().await;
}

/// Returns the id of the other of two dead letters on the page.
fn other<'t>(page: &'t str, one: &str) -> &'t str {
    let ids = page.split("id=\"dead-letter-").skip(1).map(|rest| rest.split_once('"').unwrap().0);
    ids.into_iter().find(|id| *id != one).expect("two dead letters")
}
