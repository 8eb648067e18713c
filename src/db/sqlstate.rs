//! SQLSTATEs, and what each means to the product: the one table that errors are told apart by.

use std::fmt;

/// Five characters that mean the same in every language of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlState(pub [u8; 5]);

/// Reaction that an error calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// A rule of the schema was broken: the same rows will break it again.
    Constraint,
    /// A table, column, type or function is missing.
    Schema,
    /// The server or the session takes no writes.
    ReadOnly,
    /// The transaction met another one and was undone: the same again may do.
    Retry,
    /// The session can't go on, and another one may: nothing was done.
    OtherSession,
    /// The server has no room, memory or connections left.
    Full,
    /// The session was ended: shut down, cut off. Another one may do.
    Lost,
    /// The statement was ended, by a time limit or by hand.
    Cancelled,
    /// Passes: starting, out of connections, and what is not known.
    Wait,
    /// Will not pass by itself: password, database or rights are wrong.
    Denied,
    /// The statement is wrong.
    Bug,
}

impl SqlState {
    /// PostgreSQL's own for an error without one.
    pub const UNKNOWN: Self = Self(*b"XX000");

    /// Tells what to do about the state.
    pub fn reaction(self) -> Reaction {
        match &self.0 {
            // read_only_sql_transaction
            b"25006" => Reaction::ReadOnly,
            // serialization_failure, deadlock_detected, lock_not_available
            b"40001" | b"40P01" | b"55P03" => Reaction::Retry,
            // undefined table, column, function, object; invalid schema name
            b"42P01" | b"42703" | b"42883" | b"42704" | b"3F000" => Reaction::Schema,
            // invalid_sql_statement_name, duplicate_prepared_statement; feature_not_supported: a plan of a changed table
            b"26000" | b"42P05" | b"0A000" => Reaction::OtherSession,
            // too_many_connections
            b"53300" => Reaction::Wait,
            b"42501" | b"3D000" => Reaction::Denied,
            // admin_shutdown, crash_shutdown, idle_session_timeout, idle_in_transaction_session_timeout
            b"57P01" | b"57P02" | b"57P05" | b"25P03" | [b'0', b'8', ..] => Reaction::Lost,
            b"57014" => Reaction::Cancelled,
            [b'2', b'3', ..] | b"44000" => Reaction::Constraint,
            [b'5', b'3' | b'8', ..] => Reaction::Full,
            [b'2', b'8', ..] => Reaction::Denied,
            [b'2' | b'4', b'2', ..] => Reaction::Bug,
            _ => Reaction::Wait,
        }
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or("?????"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_reaction() {
        for (states, reaction) in [
            ("23000 23502 23503 23505 23514 23P01 44000", Reaction::Constraint),
            ("42P01 42703 42883 42704 3F000", Reaction::Schema),
            ("25006", Reaction::ReadOnly),
            ("40001 40P01 55P03", Reaction::Retry),
            ("26000 42P05 0A000", Reaction::OtherSession),
            ("53000 53100 53200 53400 58000 58030 58P01", Reaction::Full),
            ("57P01 57P02 57P05 08000 08003 08006 08P01 25P03", Reaction::Lost),
            ("57014", Reaction::Cancelled),
            ("53300 57P03 25P02 55000 XX000 XX001 F0000", Reaction::Wait),
            ("28000 28P01 42501 3D000", Reaction::Denied),
            ("42601 42804 22001 22021 22P02 22P05 42P02", Reaction::Bug),
        ] {
            for state in states.split(' ') {
                let state = SqlState(state.as_bytes().try_into().unwrap());
                assert_eq!(state.reaction(), reaction, "{state}");
            }
        }
    }
}
