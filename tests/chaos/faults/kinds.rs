//! Every kind of fault: how it begins, how long it lasts, how it ends.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::{Done, inject};
use crate::load::dice::Dice;
use crate::proxy::s3::S3Mode;
use crate::proxy::tcp::Mode;
use crate::stage::{ENDS, Role, Stage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    KillWorker,
    KillServe,
    KillEverything,
    /// A worker sleeps past its session and wakes up.
    Zombie,
    Terminate,
    KillKafka,
    KillPostgres,
    /// Every backend is terminated, every three seconds.
    Backends,
    DelayKafka,
    CutKafka,
    SilenceKafka,
    SwallowKafka,
    DelayPostgres,
    CutPostgres,
    SilencePostgres,
    SwallowPostgres,
    DelayS3,
    CutS3,
    SwallowS3,
    S3Error,
    S3SlowDown,
    S3Silence,
    S3Forbidden,
    S3NoBucket,
    S3StoresNothing,
    S3StoresHalf,
    Duplicates,
    Poison,
    Forged,
    /// Workers join and leave every two seconds.
    Storm,
    /// `file.create` gets more of them.
    Partitions,
}

impl Kind {
    pub const ALL: [Self; 31] = [
        Self::KillWorker,
        Self::KillServe,
        Self::KillEverything,
        Self::Zombie,
        Self::Terminate,
        Self::KillKafka,
        Self::KillPostgres,
        Self::Backends,
        Self::DelayKafka,
        Self::CutKafka,
        Self::SilenceKafka,
        Self::SwallowKafka,
        Self::DelayPostgres,
        Self::CutPostgres,
        Self::SilencePostgres,
        Self::SwallowPostgres,
        Self::DelayS3,
        Self::CutS3,
        Self::SwallowS3,
        Self::S3Error,
        Self::S3SlowDown,
        Self::S3Silence,
        Self::S3Forbidden,
        Self::S3NoBucket,
        Self::S3StoresNothing,
        Self::S3StoresHalf,
        Self::Duplicates,
        Self::Poison,
        Self::Forged,
        Self::Storm,
        Self::Partitions,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::KillWorker => "kill-worker",
            Self::KillServe => "kill-serve",
            Self::KillEverything => "kill-everything",
            Self::Zombie => "zombie",
            Self::Terminate => "terminate",
            Self::KillKafka => "kill-kafka",
            Self::KillPostgres => "kill-postgres",
            Self::Backends => "backends",
            Self::DelayKafka => "kafka-delay",
            Self::CutKafka => "kafka-cut",
            Self::SilenceKafka => "kafka-silence",
            Self::SwallowKafka => "kafka-swallow",
            Self::DelayPostgres => "postgres-delay",
            Self::CutPostgres => "postgres-cut",
            Self::SilencePostgres => "postgres-silence",
            Self::SwallowPostgres => "postgres-swallow",
            Self::DelayS3 => "s3-delay",
            Self::CutS3 => "s3-cut",
            Self::SwallowS3 => "s3-swallow",
            Self::S3Error => "s3-error",
            Self::S3SlowDown => "s3-slow-down",
            Self::S3Silence => "s3-silence",
            Self::S3Forbidden => "s3-forbidden",
            Self::S3NoBucket => "s3-no-bucket",
            Self::S3StoresNothing => "s3-stores-nothing",
            Self::S3StoresHalf => "s3-stores-half",
            Self::Duplicates => "duplicates",
            Self::Poison => "poison",
            Self::Forged => "forged",
            Self::Storm => "storm",
            Self::Partitions => "partitions",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Injects the fault and heals it, except for modes of proxies, which the caller resets.
    pub async fn inject(self, stage: &Stage, dice: &mut Dice, done: &mut Done) {
        let (roles, services) = (&stage.roles, &stage.services);
        let pause = |dice: &mut Dice, from, to| sleep(millis(dice.between(from, to)));
        match self {
            Self::KillWorker => dice.pick(&roles.workers).kill9(),
            Self::KillServe => dice.pick(&roles.serves).kill9(),
            Self::KillEverything => roles.all().for_each(Role::kill9),
            Self::Zombie => zombie(dice.pick(&roles.workers)).await,
            Self::Terminate => terminate(dice.pick(&roles.all().collect::<Vec<_>>())).await,
            Self::KillKafka => {
                services.kafka.kill().await;
                pause(dice, 500, 2000).await;
                services.kafka.start_again().await;
            }
            Self::KillPostgres => {
                services.postgres.kill().await;
                pause(dice, 100, 1500).await;
                services.postgres.start_again().await;
            }
            Self::Backends => {
                for _ in 0..3 {
                    services.terminate_backends().await;
                    sleep(Duration::from_secs(3)).await;
                }
            }
            Self::DelayKafka => services.kafka_proxy.set(Mode::Delay(millis(dice.between(50, 300)))),
            Self::SilenceKafka => services.kafka_proxy.set(Mode::Blackhole),
            Self::SwallowKafka => services.kafka_proxy.set(Mode::SwallowReplies),
            Self::DelayPostgres => services.postgres_proxy.set(Mode::Delay(millis(dice.between(20, 150)))),
            Self::SilencePostgres => services.postgres_proxy.set(Mode::Blackhole),
            Self::SwallowPostgres => services.postgres_proxy.set(Mode::SwallowReplies),
            Self::DelayS3 => services.s3_port.set(Mode::Delay(millis(dice.between(50, 300)))),
            Self::SwallowS3 => services.s3_port.set(Mode::SwallowReplies),
            Self::CutS3 => cut(|| services.s3_port.cut(), dice).await,
            Self::CutKafka => cut(|| services.kafka_proxy.cut(), dice).await,
            Self::CutPostgres => cut(|| services.postgres_proxy.cut(), dice).await,
            Self::S3Error
            | Self::S3SlowDown
            | Self::S3Silence
            | Self::S3Forbidden
            | Self::S3NoBucket
            | Self::S3StoresNothing
            | Self::S3StoresHalf => {
                let percent = *dice.pick(&[10, 50, 100]);
                self.s3_mode().into_iter().for_each(|mode| services.s3_proxy.set(mode, percent));
            }
            Self::Duplicates => inject::duplicates(services, dice, done).await,
            Self::Poison => inject::poison(services, dice, done).await,
            Self::Forged => inject::forged(services, dice, done).await,
            Self::Storm => storm(stage, dice).await,
            Self::Partitions => stage.complain("new-partitions", inject::more_partitions(services).await),
        }
        if self.is_a_mode() {
            pause(dice, 2000, 5000).await;
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others have nothing to do with S3")]
    const fn s3_mode(self) -> Option<S3Mode> {
        match self {
            Self::S3Error => Some(S3Mode::InternalError),
            Self::S3SlowDown => Some(S3Mode::SlowDown),
            Self::S3Silence => Some(S3Mode::Silence),
            Self::S3Forbidden => Some(S3Mode::Forbidden),
            Self::S3NoBucket => Some(S3Mode::NoBucket),
            Self::S3StoresNothing => Some(S3Mode::StoreNothing),
            Self::S3StoresHalf => Some(S3Mode::StoreTruncated),
            _ => None,
        }
    }

    /// Tells whether it is a mode of a proxy, so that it lasts.
    fn is_a_mode(self) -> bool {
        let name = self.name();
        ["kafka-", "postgres-", "s3-"].iter().any(|proxy| name.starts_with(proxy)) && !name.ends_with("-cut")
    }
}

fn millis(count: usize) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or_default())
}

async fn cut(cut: impl Fn(), dice: &mut Dice) {
    for _ in 0..4 {
        cut();
        sleep(millis(dice.between(100, 1000))).await;
    }
}

/// Stops the worker until its supervisor wakes it.
async fn zombie(worker: &Role) {
    let (woken, kills, until) = (worker.woken(), worker.kills(), Instant::now() + Duration::from_secs(15));
    if !worker.signal(Signal::SIGSTOP) {
        return;
    }
    while worker.woken() == woken && worker.kills() == kills && Instant::now() < until {
        sleep(millis(50)).await;
    }
}

/// Asks the role to end and waits until it has; the supervisor checks that it exits cleanly.
async fn terminate(role: &&Role) {
    let starts = role.starts();
    role.terminate();
    role.started_since(starts).await;
}

async fn storm(stage: &Stage, dice: &mut Dice) {
    let mut more: Vec<Role> = Vec::new();
    for number in 0..4 {
        let name = format!("storm-{number}");
        more.push(stage.roles.workers[0].another(&name, &stage.folder));
        sleep(Duration::from_secs(2)).await;
        if number > 0 {
            let leaves = more.swap_remove(dice.below(more.len()));
            stage.complain(ENDS, leaves.end().await);
        }
    }
    for leaves in more {
        stage.complain(ENDS, leaves.end().await);
    }
}
