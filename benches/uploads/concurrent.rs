//! Many large files at once, and what memory they take.

use tokio::task::JoinSet;

use super::client::Connection;
use super::figures::Figures;
use super::measure::{Cost, Memory, mib, resident_mib};
use super::stage::Stage;
use super::{Args, Outcome, content, forms, plain};

pub async fn measure(stage: &Stage, args: &Args) -> Outcome<Vec<Figures>> {
    let size = args.size << 20;
    let sha256 = content::digest(size).await;
    let server = stage.filesys().await?;
    forms::upload(&mut Connection::open(&server.host).await?, "warm-up.bin", 1 << 20).await?;
    let idle = resident_mib(server.pid);
    let memory = Memory::sample(server.pid);
    let cost = Cost::begin(&server);
    let mut clients = JoinSet::new();
    for number in 0..args.at_once {
        let mut connection = Connection::open(&server.host).await?;
        clients.spawn(async move {
            forms::upload(&mut connection, &format!("bench-{number}.bin"), size).await?.check(size, &sha256)
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    let cost = cost.end(&server);
    let most = memory.most();
    plain::empty(&server.bucket).await?;
    server.end().await?;

    let mut figures = Figures::new(format!("{} files of {} MiB at once", args.at_once, args.size));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let all = mib(size) * args.at_once as f64;
    figures.add("filesys", all / cost.seconds, "MiB/s");
    figures.add("memory, idle", idle, "MiB");
    figures.add("memory, most", most, "MiB");
    figures.add("memory, more than idle", most - idle, "MiB");
    Cost::report(&[cost], all, &mut figures);
    Ok(vec![figures])
}
