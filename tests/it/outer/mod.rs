//! The service as strangers reach it: by other names, from other sites' pages, through proxies.

mod hosts;
mod proxies;
mod senders;
