//! The service as it is reached from outside: by other host names, from other sites' pages, through proxies.

mod hosts;
mod proxies;
mod senders;
