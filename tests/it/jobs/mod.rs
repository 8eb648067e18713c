//! Background loops: requests that are committed together, the relay of the outbox, requests that got lost.

mod commit_requests;
mod recover_lost_requests;
mod relay_outbox;
