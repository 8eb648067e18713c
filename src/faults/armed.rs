//! Actions at crash points: chosen by seed, point and number of the pass, logged, then executed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, raise};

use crate::config::faults::{Action, FaultsConfig, Point, When};

/// Mark in titles that makes the generator panic.
pub const PANIC_MARK: &str = "[panic]";

#[derive(Debug, Default)]
struct Armed {
    config: FaultsConfig,
    passes: [AtomicU64; Point::ALL.len()],
}

/// Faults of this process. Global, because crash points are in code that has no context.
static ARMED: OnceLock<Armed> = OnceLock::new();

/// Arms the crash points, once before anything runs; later calls change nothing.
pub fn arm(config: FaultsConfig) {
    ARMED.get_or_init(|| Armed { config, ..Armed::default() });
}

/// Passes a crash point, and executes the actions that fire there.
pub async fn pass(point: Point) {
    let Some(armed) = ARMED.get() else { return };
    let pass = armed.passes[point as usize].fetch_add(1, Ordering::Relaxed) + 1;
    for rule in armed.config.rules.iter().filter(|rule| rule.point == point) {
        let dice = scramble(armed.config.seed ^ scramble(point as u64 + 1) ^ pass);
        let fires = match rule.when {
            When::Chance(chance) => share(dice) < chance,
            When::Pass(number) => pass == number,
        };
        if fires {
            log::warn!(point = point.name(), pass, action:? = rule.action; "crash point fires");
            act(rule.action, share(scramble(dice))).await;
        }
    }
}

/// Executes an action; `part`, from 0 to 1, chooses the time of a delayed one.
#[expect(clippy::panic, reason = "asked for")]
async fn act(action: Action, part: f64) {
    match action {
        Action::Kill => end(Signal::SIGKILL),
        Action::KillWithin(time) => {
            let time = time.mul_f64(part);
            drop(tokio::spawn(async move {
                tokio::time::sleep(time).await;
                end(Signal::SIGKILL);
            }));
        }
        Action::Stop => end(Signal::SIGSTOP),
        Action::Delay(time) => tokio::time::sleep(time).await,
        Action::Panic => panic!("a crash point asks for it"),
    }
}

fn end(signal: Signal) {
    if let Err(error) = raise(signal) {
        log::error!(error:% = error; "the process can't signal itself");
    }
}

/// Panics when the title contains the mark.
///
/// # Panics
/// When the title contains the mark.
pub fn panic_over(title: &str) {
    assert!(!title.contains(PANIC_MARK), "a title asks for it");
}

/// Maps a random number to a share from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn share(dice: u64) -> f64 {
    (dice >> 11) as f64 / (1_u64 << 53) as f64
}

/// Takes one step of `SplitMix64`.
fn scramble(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
