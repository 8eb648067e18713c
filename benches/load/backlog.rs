//! Memory of the roles under a backlog: files are requested while no worker runs, then they are made.

use std::time::Duration;

use super::figures::Figures;
use super::report::OWN_PROCESSES;
use super::stage::{Stage, Workers};
use super::{Args, Outcome, drive};

pub async fn measure(stage: &Stage, args: &Args, files: usize) -> Outcome<Figures> {
    let mut roles = stage.start(args.workers(), &args.settings()).await?;
    let description = "x".repeat(args.description);
    // The memory of a load without a backlog.
    drive::load(&roles.address, 2000, args.connections, &description).await?;
    drive::wait_until_completed(&roles, 2000, Duration::from_mins(5)).await?;
    let before = roles.usage();
    roles.stop_workers().await?;

    let posted = drive::load(&roles.address, files, args.connections, &description).await?;
    let waiting = roles.usage();
    stage.start_workers(&mut roles, args.workers())?;
    let finished = drive::wait_until_completed(&roles, files, Duration::from_mins(30)).await?;
    let after = roles.usage();
    let end = roles.end_state(0).await?;
    stage.end(roles).await?;
    if usize::try_from(end.completed)? != 2000 + files || end.outbox != 0 {
        return Err(format!("{} completed, {} in the outbox", end.completed, end.outbox).into());
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
    for name in OWN_PROCESSES {
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
