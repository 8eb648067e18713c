//! Time, CPU time and memory of a measurement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::figures::Figures;
use super::processes::{Usages, machine_cpu_seconds};
use super::stage::Server;

/// Start of a measurement.
pub struct Begun {
    at: Instant,
    usage: Usages,
    machine: f64,
}

/// Time and CPU time of a measurement.
#[derive(Debug)]
pub struct Cost {
    pub seconds: f64,
    usage: Usages,
    machine: f64,
}

impl Cost {
    pub fn begin(server: &Server) -> Begun {
        let (usage, machine) = (server.usage(), machine_cpu_seconds());
        Begun { at: Instant::now(), usage, machine }
    }

    /// Adds the CPU time of each process for one MiB, the medians of several measurements of `amount` MiB.
    pub fn report(costs: &[Self], amount: f64, figures: &mut Figures) {
        let names = costs.first().into_iter().flat_map(|cost| cost.usage.0.keys());
        for name in names {
            let of = |cost: &Self| cost.usage.0.get(name).map_or(0.0, |usage| usage.cpu_seconds);
            let each: Vec<f64> = costs.iter().map(of).collect();
            figures.add(format!("  CPU of {name}"), median(&each) * 1000.0 / amount, "ms/MiB");
        }
        let all: Vec<f64> = costs.iter().map(|cost| cost.machine).collect();
        figures.add("  CPU of the machine", median(&all) * 1000.0 / amount, "ms/MiB");
    }
}

impl Begun {
    pub fn end(self, server: &Server) -> Cost {
        Cost {
            seconds: self.at.elapsed().as_secs_f64(),
            usage: server.usage().since(&self.usage),
            machine: machine_cpu_seconds() - self.machine,
        }
    }
}

/// Sampler of the resident memory of a process. It stops when it is dropped.
pub struct Memory {
    most_kib: Arc<AtomicU64>,
    sampling: JoinHandle<()>,
}

impl Memory {
    pub fn sample(pid: u32) -> Self {
        const INTERVAL: Duration = Duration::from_millis(20);
        let most_kib = Arc::new(AtomicU64::new(0));
        let most = Arc::clone(&most_kib);
        let sampling = tokio::spawn(async move {
            loop {
                most.fetch_max(resident_kib(pid), Ordering::Relaxed);
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self { most_kib, sampling }
    }

    /// Returns the largest sample, in MiB.
    pub fn most(&self) -> f64 {
        as_mib(self.most_kib.load(Ordering::Relaxed))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.sampling.abort();
    }
}

pub fn resident_mib(pid: u32) -> f64 {
    as_mib(resident_kib(pid))
}

fn resident_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Converts bytes.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 50)
}

/// Value of sorted ones below which this share of them lies.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
