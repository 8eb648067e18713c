//! Settings that the published events depend on.

use std::sync::Arc;

use super::outer::{self, BaseUrl};
use super::{Env, OuterConfig};

/// Settings that the published events depend on. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct EventsConfig {
    /// Address of the service, without a final slash; empty if `BASE_URL` isn't set.
    pub base_url: Arc<str>,
}

impl EventsConfig {
    /// Reads the settings, for commands that don't answer requests themselves.
    pub fn read(env: &mut Env) -> Self {
        Self::of(outer::read_base_url(env).as_ref())
    }

    /// Makes the settings of a server.
    pub fn at(outer: &OuterConfig) -> Self {
        Self::of(outer.base_url.as_ref())
    }

    fn of(base_url: Option<&BaseUrl>) -> Self {
        let base_url = base_url.map(|base| format!("{}{}", base.origin(), base.path())).unwrap_or_default();
        Self { base_url: base_url.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_has_its_path_and_no_final_slash() {
        let base_url = |value: &str| EventsConfig::read(&mut Env::of([("BASE_URL", value)])).base_url;
        assert_eq!(&*base_url("https://Files.example/"), "https://files.example");
        assert_eq!(&*base_url("https://files.example:8443/a/"), "https://files.example:8443/a");
        assert_eq!(&*base_url(""), "");
    }
}
