//! Bugs that such systems have had. Each is a patch beside this file, and the chaos tests must catch it.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A record is committed as soon as it is fetched.
    CommitBeforeDone,
    /// Messages are published after the commit, without the outbox.
    ProduceOutsideTransaction,
    /// The relay asks for rows behind the highest id that it has seen.
    LastSeenRelay,
    /// Keys of objects depend on the clock.
    ClockInKey,
    /// A result is published before its object is stored.
    CompletedBeforePut,
    /// Results are applied whatever the row says.
    UnguardedUpdate,
    /// Records that can't be processed are committed without a dead letter.
    PoisonSkipped,
    /// Records that can't be processed are tried for ever.
    RetryForEver,
    /// Locations of results are not checked.
    LocationTrusted,
}

impl Bug {
    pub const ALL: [Self; 9] = [
        Self::CommitBeforeDone,
        Self::ProduceOutsideTransaction,
        Self::LastSeenRelay,
        Self::ClockInKey,
        Self::CompletedBeforePut,
        Self::UnguardedUpdate,
        Self::PoisonSkipped,
        Self::RetryForEver,
        Self::LocationTrusted,
    ];

    /// Name of its patch, and value of `FILESYS_PLANT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommitBeforeDone => "commit-before-done",
            Self::ProduceOutsideTransaction => "produce-outside-transaction",
            Self::LastSeenRelay => "last-seen-relay",
            Self::ClockInKey => "clock-in-key",
            Self::CompletedBeforePut => "completed-before-put",
            Self::UnguardedUpdate => "unguarded-update",
            Self::PoisonSkipped => "poison-skipped",
            Self::RetryForEver => "retry-for-ever",
            Self::LocationTrusted => "location-trusted",
        }
    }
}
