//! What memory a backlog takes: files are asked for while no worker runs, then they are made.

use std::time::Duration;

use super::figures::Figures;
use super::report::OURS;
use super::stage::Stage;
use super::stage::Workers;
use super::{Args, Outcome, drive};

pub async fn measure(stage: &Stage, args: &Args, files: usize) -> Outcome<Figures> {
    let mut cast = stage.start(args.workers(), &args.settings()).await?;
    let description = "x".repeat(args.description);
    // The memory of a load without a backlog.
    drive::load(&cast.address, 2000, args.connections, &description).await?;
    drive::wait_until_completed(&cast, 2000, Duration::from_mins(5)).await?;
    let before = cast.usage();
    cast.stop_workers().await?;

    let posted = drive::load(&cast.address, files, args.connections, &description).await?;
    let waiting = cast.usage();
    stage.start_workers(&mut cast, args.workers())?;
    let finished = drive::wait_until_completed(&cast, files, Duration::from_mins(30)).await?;
    let after = cast.usage();
    let found = cast.found(0).await?;
    stage.end(cast).await?;
    if usize::try_from(found.completed)? != 2000 + files || found.outbox != 0 {
        return Err(format!("{} completed, {} in the outbox", found.completed, found.outbox).into());
    }

    let Workers { members, processes } = args.workers();
    let mut figures = Figures::new(format!(
        "a backlog of {files} files; {members} worker members in {processes} processes"
    ));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = files as f64;
    figures.add("accepted", count / posted.took.as_secs_f64(), "files/s");
    let made_in = finished.duration_since(posted.begun + posted.took).as_secs_f64();
    figures.add("made afterwards", count / made_in, "files/s");
    for name in OURS {
        let peak = |usages: &super::processes::Usages| usages.0.get(name).map(|usage| usage.peak_mib);
        let Some(peak_before) = peak(&before) else { continue };
        figures.add(format!("{name}: peak memory without a backlog"), peak_before, "MiB");
        for (when, usages) in [("when all are asked for", &waiting), ("when all are made", &after)] {
            if let Some(peak) = peak(usages) {
                figures.add(format!("  {when}, more by"), peak - peak_before, "MiB");
            }
        }
    }
    Ok(figures)
}
