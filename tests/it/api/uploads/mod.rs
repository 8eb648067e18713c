//! Uploads over HTTP, in one request and by the tus protocol.

mod consistency;
mod events;
mod form;
mod nasty_bodies;
mod nasty_names;
mod nasty_tus;
mod tus_js_client;
