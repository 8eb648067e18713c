//! The transition table: the one place that decides about every transition of every file (drawn in docs/STATES.md).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FileOrigin;
use crate::domain::Attempt;

/// Status of a file (docs/STATES.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted; no worker has reported that it started.
    Pending,
    /// The bytes of an upload are arriving.
    Uploading,
    /// A worker has started the current attempt.
    Processing,
    /// The object is stored and verified.
    Completed,
    /// It will not be made; `error` tells why.
    Failed,
    /// A client cancelled it.
    Cancelled,
    /// A client deleted it.
    Deleted,
}

impl Status {
    /// All statuses, in the order of a file's life.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Uploading,
        Self::Processing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Deleted,
    ];

    /// Returns the name that the API, messages and the database use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Uploading => "uploading",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Deleted => "deleted",
        }
    }

    /// Parses such a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Tells whether it still changes by itself; the other statuses change at a client's request only.
    pub const fn is_unfinished(self) -> bool {
        match self {
            Self::Pending | Self::Uploading | Self::Processing => true,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Deleted => false,
        }
    }
}

/// Change of a file's status, named by its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transition {
    /// A worker announced that it started the current attempt.
    Start,
    /// A worker stored the object of the current attempt.
    Complete,
    /// A worker gave up on the current attempt.
    Fail,
    /// All bytes of an upload are stored.
    Store,
    /// The bytes of an upload will not arrive, or are refused.
    Abort,
    /// The deadline passed.
    Expire,
    /// The request is published again, with the next attempt number.
    Republish,
    /// A client cancelled it.
    Cancel,
    /// A client asked for another try, with the next attempt number.
    Retry,
    /// The object of a completed file is gone or altered: it is made once more, with the next attempt number.
    Remake,
    /// A client deleted it.
    Delete,
}

impl Transition {
    /// All transitions.
    pub const ALL: [Self; 11] = [
        Self::Start,
        Self::Complete,
        Self::Fail,
        Self::Store,
        Self::Abort,
        Self::Expire,
        Self::Republish,
        Self::Cancel,
        Self::Retry,
        Self::Remake,
        Self::Delete,
    ];

    /// Returns the name that the history shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Store => "store",
            Self::Abort => "abort",
            Self::Expire => "expire",
            Self::Republish => "rescue",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Remake => "remake",
            Self::Delete => "delete",
        }
    }

    /// Tells whether the file is requested once more: results of older attempts are ignored from then on.
    pub const fn raises_attempt(self) -> bool {
        match self {
            Self::Republish | Self::Retry | Self::Remake => true,
            Self::Start
            | Self::Complete
            | Self::Fail
            | Self::Store
            | Self::Abort
            | Self::Expire
            | Self::Cancel
            | Self::Delete => false,
        }
    }
}

/// The table: the status after a transition, or `None` if it is not allowed and changes nothing.
pub const fn next(from: Status, by: Transition) -> Option<Status> {
    use Status::{Cancelled, Completed, Deleted, Failed, Pending, Processing, Uploading};
    match (from, by) {
        (Pending, Transition::Start) => Some(Processing),
        (Pending | Processing, Transition::Complete) | (Uploading, Transition::Store) => Some(Completed),
        (Pending | Processing, Transition::Fail)
        | (Uploading, Transition::Abort)
        | (Pending | Uploading | Processing, Transition::Expire) => Some(Failed),
        // The status stays, so that no reader ever sees it go back.
        (Pending | Processing, Transition::Republish) => Some(from),
        (Pending | Uploading | Processing, Transition::Cancel) => Some(Cancelled),
        (Failed | Cancelled, Transition::Retry) | (Completed, Transition::Remake) => Some(Pending),
        (Pending | Uploading | Processing | Completed | Failed | Cancelled, Transition::Delete) => {
            Some(Deleted)
        }
        (Processing, Transition::Start)
        | (
            Completed | Failed | Cancelled | Deleted,
            Transition::Start
            | Transition::Complete
            | Transition::Fail
            | Transition::Store
            | Transition::Abort
            | Transition::Expire
            | Transition::Republish
            | Transition::Cancel,
        )
        | (Uploading, Transition::Start | Transition::Complete | Transition::Fail | Transition::Republish)
        | (Pending | Processing, Transition::Store | Transition::Abort)
        | (Pending | Uploading | Processing | Completed | Deleted, Transition::Retry)
        | (Pending | Uploading | Processing | Failed | Cancelled | Deleted, Transition::Remake)
        | (Deleted, Transition::Delete) => None,
    }
}

/// Part of a file's record that the table looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub status: Status,
    pub attempt: Attempt,
    /// An upload is never requested once more: no worker has its bytes.
    pub origin: FileOrigin,
}

/// Decision of the transition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Apply(State),
    Ignore(IgnoreReason),
}

/// Reason why a message changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IgnoreReason {
    /// It belongs to an attempt that has been superseded.
    Late,
    /// It belongs to an attempt that was never requested.
    UnknownAttempt,
    /// The file already has the status that the message asks for.
    Repeated,
    /// The table does not allow the transition.
    NotAllowed,
}

/// Decides about one transition. `attempt` is the one that the message names; a message without one is about the current.
pub fn evaluate(state: State, by: Transition, attempt: Option<Attempt>) -> Decision {
    let attempt = attempt.unwrap_or(state.attempt);
    if attempt < state.attempt {
        return Decision::Ignore(IgnoreReason::Late);
    }
    if attempt > state.attempt {
        return Decision::Ignore(IgnoreReason::UnknownAttempt);
    }
    match next(state.status, by) {
        Some(_) if by.raises_attempt() && state.origin == FileOrigin::Uploaded => {
            Decision::Ignore(IgnoreReason::NotAllowed)
        }
        Some(status) if by.raises_attempt() => {
            Decision::Apply(State { status, attempt: attempt.next(), ..state })
        }
        Some(status) => Decision::Apply(State { status, attempt, ..state }),
        None if Status::ALL.into_iter().any(|from| next(from, by) == Some(state.status)) => {
            Decision::Ignore(IgnoreReason::Repeated)
        }
        None => Decision::Ignore(IgnoreReason::NotAllowed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(state: State, by: Transition, attempt: Option<Attempt>) -> State {
        match evaluate(state, by, attempt) {
            Decision::Apply(next) => next,
            Decision::Ignore(_) => state,
        }
    }

    /// Messages that one attempt's worker may publish: maybe a start, then at most one outcome.
    fn outcomes() -> impl Strategy<Value = Vec<Option<Transition>>> {
        proptest::collection::vec(
            proptest::option::of(prop_oneof![Just(Transition::Complete), Just(Transition::Fail)]),
            1..5,
        )
    }

    proptest! {
        #[test]
        fn any_order_repetition_or_delay_of_results_gives_the_same_final_row(
            outcomes in outcomes(),
            current in 1..5_i32,
            seed in proptest::collection::vec((0..5_usize, any::<bool>()), 0..24),
            order in any::<prop::sample::Index>(),
        ) {
            let start = State { status: Status::Pending, attempt: Attempt(current), origin: FileOrigin::Generated };
            let mut messages = Vec::new();
            for (number, outcome) in (1..).zip(&outcomes) {
                messages.push((Transition::Start, Attempt(number)));
                messages.extend(outcome.map(|by| (by, Attempt(number))));
            }
            let expected = messages.iter().fold(start, |s, (by, a)| apply(s, *by, Some(*a)));

            let mut shuffled = messages.clone();
            shuffled.extend(seed.iter().filter(|(_, twice)| *twice).map(|(i, _)| messages[i % messages.len()]));
            for (i, _) in &seed {
                let len = shuffled.len();
                shuffled.swap(i % len, order.index(len));
                shuffled.rotate_left(i % len);
            }
            let seen = shuffled.iter().fold(start, |s, (by, a)| apply(s, *by, Some(*a)));
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn attempts_never_fall_and_a_finished_file_is_only_moved_by_a_person(
            moves in proptest::collection::vec((0..Transition::ALL.len(), proptest::option::of(0..4_i32)), 0..40),
        ) {
            let mut state = State { status: Status::Pending, attempt: Attempt::FIRST, origin: FileOrigin::Generated };
            for (index, attempt) in moves {
                let by = Transition::ALL[index];
                let after = apply(state, by, attempt.map(Attempt));
                prop_assert!(after.attempt >= state.attempt);
                if !state.status.is_unfinished() && after != state {
                    prop_assert!(matches!(by, Transition::Retry | Transition::Remake | Transition::Delete));
                }
                state = after;
            }
        }
    }

    /// Calls `visit` with `items` in every order.
    fn in_every_order<T: Copy>(items: &mut [T], fixed: usize, visit: &mut impl FnMut(&[T])) {
        if fixed == items.len() {
            return visit(items);
        }
        for other in fixed..items.len() {
            items.swap(fixed, other);
            in_every_order(items, fixed + 1, visit);
            items.swap(fixed, other);
        }
    }

    #[test]
    fn six_results_give_the_same_final_row_in_each_of_their_720_orders() {
        use Transition::{Complete, Fail, Start};
        let late_and_early = [(Start, 1), (Complete, 1), (Start, 2), (Fail, 2), (Start, 3), (Complete, 3)];
        let repeated = [(Start, 2), (Start, 2), (Complete, 2), (Complete, 2), (Fail, 1), (Fail, 3)];
        let unanswered = [(Start, 1), (Fail, 1), (Start, 2), (Start, 2), (Start, 3), (Fail, 3)];
        for (mut messages, status) in [
            (late_and_early, Status::Failed),
            (repeated, Status::Completed),
            (unanswered, Status::Processing),
        ] {
            let expected = State { status, attempt: Attempt(2), origin: FileOrigin::Generated };
            let mut orders = 0;
            in_every_order(&mut messages, 0, &mut |messages| {
                let start =
                    State { status: Status::Pending, attempt: Attempt(2), origin: FileOrigin::Generated };
                let seen = messages.iter().fold(start, |s, (by, a)| apply(s, *by, Some(Attempt(*a))));
                assert_eq!(seen, expected, "{messages:?}");
                orders += 1;
            });
            assert_eq!(orders, 720);
        }
    }

    #[test]
    fn a_result_of_an_older_attempt_changes_nothing() {
        let state = State { status: Status::Processing, attempt: Attempt(2), origin: FileOrigin::Generated };
        assert_eq!(
            evaluate(state, Transition::Complete, Some(Attempt(1))),
            Decision::Ignore(IgnoreReason::Late)
        );
        assert_eq!(
            evaluate(state, Transition::Complete, Some(Attempt(3))),
            Decision::Ignore(IgnoreReason::UnknownAttempt)
        );
    }

    #[test]
    fn a_result_without_an_attempt_speaks_of_the_current_one() {
        let state = State { status: Status::Pending, attempt: Attempt(4), origin: FileOrigin::Generated };
        let done = State { status: Status::Completed, attempt: Attempt(4), origin: FileOrigin::Generated };
        assert_eq!(evaluate(state, Transition::Complete, None), Decision::Apply(done));
        assert_eq!(evaluate(done, Transition::Complete, None), Decision::Ignore(IgnoreReason::Repeated));
        assert_eq!(evaluate(done, Transition::Cancel, None), Decision::Ignore(IgnoreReason::NotAllowed));
    }

    #[test]
    fn republishing_keeps_the_status_and_raises_the_attempt() {
        let state = State { status: Status::Processing, attempt: Attempt(1), origin: FileOrigin::Generated };
        let republished =
            State { status: Status::Processing, attempt: Attempt(2), origin: FileOrigin::Generated };
        assert_eq!(evaluate(state, Transition::Republish, None), Decision::Apply(republished));
    }

    #[test]
    fn an_upload_ends_by_its_own_transitions_alone_and_is_never_requested_again() {
        let uploading =
            State { status: Status::Uploading, attempt: Attempt::FIRST, origin: FileOrigin::Uploaded };
        let by_worker = [Transition::Start, Transition::Complete, Transition::Fail, Transition::Republish];
        for by in by_worker {
            assert_eq!(next(Status::Uploading, by), None, "{by:?}");
        }
        for (by, status) in [
            (Transition::Store, Status::Completed),
            (Transition::Abort, Status::Failed),
            (Transition::Expire, Status::Failed),
            (Transition::Cancel, Status::Cancelled),
            (Transition::Delete, Status::Deleted),
        ] {
            let ended = State { status, ..uploading };
            assert_eq!(evaluate(uploading, by, None), Decision::Apply(ended), "{by:?}");
            for again in [Transition::Retry, Transition::Remake] {
                assert!(matches!(evaluate(ended, again, None), Decision::Ignore(_)), "{status:?} {again:?}");
            }
        }
    }
}
