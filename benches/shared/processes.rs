//! CPU time and memory of processes, from `/proc`.

use std::collections::BTreeMap;

/// Clock ticks a second, `USER_HZ` of Linux.
const TICKS: f64 = 100.0;

/// CPU seconds and peak memory of one process, or of a server with all its children.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Usage {
    pub cpu_seconds: f64,
    /// Peak by `VmHWM`; of several processes their sum, which counts shared pages several times.
    pub peak_mib: f64,
    /// Proportional set size (`Pss`) now: sums of it count each shared page once. 0 for processes of other users.
    pub share_mib: f64,
}

/// Usage by name of the process.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Usages(pub BTreeMap<String, Usage>);

impl Usages {
    /// Subtracts the CPU time of `before`; memory stays the peak of the whole life.
    pub fn since(mut self, before: &Self) -> Self {
        for (name, usage) in &mut self.0 {
            usage.cpu_seconds -= before.0.get(name).map_or(0.0, |before| before.cpu_seconds);
        }
        self
    }
}

/// Reads the usage of this process and, for a server of many processes, its children, living and waited for.
pub fn usage(pid: u32, with_children: bool) -> Usage {
    let mut sum = alone(pid, with_children);
    for child in children(pid).into_iter().filter(|_| with_children) {
        let Usage { cpu_seconds, peak_mib, share_mib } = alone(child, false);
        sum.cpu_seconds += cpu_seconds;
        sum.peak_mib += peak_mib;
        sum.share_mib += share_mib;
    }
    sum
}

/// Reads the CPU seconds of the whole machine, idle time aside.
pub fn machine_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let times = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy = times.take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    busy.filter_map(|(_, ticks)| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

fn alone(pid: u32, with_children: bool) -> Usage {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name in parentheses, which may hold anything: field 3 is the first.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let tick = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let own = tick(11) + tick(12);
    let ticks = if with_children { own + tick(13) + tick(14) } else { own };
    Usage {
        cpu_seconds: ticks / TICKS,
        peak_mib: mib(&format!("/proc/{pid}/status"), "VmHWM:"),
        share_mib: mib(&format!("/proc/{pid}/smaps_rollup"), "Pss:"),
    }
}

/// MiB of a line such as `VmHWM: 1024 kB`.
fn mib(file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().map_or(0.0, |kib: f64| kib / 1024.0)
}

fn children(pid: u32) -> Vec<u32> {
    let file = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}
