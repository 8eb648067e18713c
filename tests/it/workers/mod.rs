//! Records on their way through the consumers: what is told when, poison among good ones, results that are not trusted, stores in trouble.

mod announcements;
mod dead_letters;
mod poison;
mod results;
mod stores;
