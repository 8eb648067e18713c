//! Whole stories: processes that stop, die and come back, and the files that must not care.

mod facts;
mod intake;
mod lost_requests;
mod restarts;
