//! Records on their way through the consumers: poison among good ones, results that are not trusted, stores in trouble.

mod letters;
mod poison;
mod results;
mod stores;
