//! Handlers, each for the records of one topic: they read a record and call a use case.

pub mod dead_letters;
pub mod file_create;
pub mod file_created;

use crate::broker::Delivery;

fn value(delivery: &Delivery) -> Option<&[u8]> {
    delivery.record.value.as_deref()
}
