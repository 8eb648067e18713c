//! Failover of PostgreSQL to its standby: writes resume by themselves, and every acknowledged one is there.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::outages::Load;
use crate::roles::site::{Site, listening, wait_until_ready};
use crate::support::own::Own;
use crate::support::process::STOP_LIMIT;
use crate::support::{eventually, holds, services};

/// Time limit from the promotion to the first accepted file.
const RECOVERED: Duration = Duration::from_secs(10);

/// Site with synchronous replication, so that no commit is lost with the primary.
async fn site_with_standby() -> (Site, Own) {
    let site = Site::new().await;
    let standby = Own::standby(&site.postgres).await;
    let admin = services::connect(&SecretString::from(site.postgres.address.clone())).await;
    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually("the standby is synchronous", async || {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        let count: i64 = admin.query_one(sql, &[]).await.unwrap().get(0);
        holds(count == 1, count)
    })
    .await;
    (site, standby)
}

/// Runs `up` with that address under load, kills the primary, promotes the standby, and then calls `moved`.
async fn loses_nothing(mut site: Site, standby: Own, address: &str, moved: impl FnOnce()) {
    let (process, api) =
        listening(site.spawn_up(&[("DATABASE_URL", address), ("PROCESSING_DELAY_MS", "0")])).await;
    wait_until_ready(&api, "200 ready up up up").await;
    let load = Load::start(&api.base);
    load.goes_on(40).await;
    site.postgres.kill().await;
    load.is_refused().await;
    standby.promote().await;
    moved();
    let promoted = Instant::now();
    load.goes_on(1).await;
    let recovered = promoted.elapsed();
    load.goes_on(40).await;
    eprintln!("{} accepted, {} refused; accepts again {recovered:?} after", load.accepted(), load.refused());
    assert!(recovered < RECOVERED, "{recovered:?}");
    let accepted = load.end().await;
    // What was the primary stays down until the end.
    let _lost = std::mem::replace(&mut site.postgres, standby);
    wait_until_ready(&api, "200 ready up up up").await;
    site.assert_whole(&api, &accepted).await;
    process.stop_within(STOP_LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_that_the_url_names_takes_over() {
    let (site, standby) = site_with_standby().await;
    let (first, second) = (site.postgres.port(), standby.port());
    let url = &site.postgres.address;
    let one = format!("127.0.0.1:{first}");
    assert!(url.contains(&one), "{url}");
    let both = url.replace(&one, &format!("127.0.0.1:{first},127.0.0.1:{second}"));
    let both = format!("{both}?target_session_attrs=read-write");
    loses_nothing(site, standby, &both, || {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_behind_the_address_of_the_primary_takes_over() {
    let (site, standby) = site_with_standby().await;
    let address = MovingAddress::at(site.postgres.port()).await;
    let url = site
        .postgres
        .address
        .replace(&format!("127.0.0.1:{}", site.postgres.port()), &format!("127.0.0.1:{}", address.port));
    let there = standby.port();
    loses_nothing(site, standby, &url, || address.move_to(there)).await;
}

/// Relay like a virtual IP: connections go to its current holder. Those to a former holder are silent until the next
/// holder resets them.
struct MovingAddress {
    port: u16,
    holder: watch::Sender<u16>,
    _task: AbortOnDropHandle<()>,
}

impl MovingAddress {
    async fn at(holder: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (holder, seen) = watch::channel(holder);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, seen.clone()));
            }
        });
        Self { port, holder, _task: AbortOnDropHandle::new(task) }
    }

    fn move_to(&self, port: u16) {
        self.holder.send_replace(port);
    }
}

async fn pass_on(mut client: TcpStream, mut holder: watch::Receiver<u16>) {
    let port = *holder.borrow_and_update();
    let passing = async {
        if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.split(), server.split());
            tokio::select! {
                // It was closed as it should be.
                _ = copy(&mut from_client, &mut to_server) => return,
                _ = copy(&mut from_server, &mut to_client) => {}
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = passing => {}
        _ = holder.changed() => {}
    }
}
