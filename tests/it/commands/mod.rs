//! The command line: exit codes, and what is said on stderr.

mod exit_codes;
