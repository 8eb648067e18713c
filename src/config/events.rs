//! Settings that the published events depend on.

use std::sync::Arc;

use super::outer::{self, BaseUrl};
use super::{Env, KafkaConfig, OuterConfig, S3Config};

/// Settings that the published events depend on. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct EventsConfig {
    /// Address of the service, without a final slash; empty if `BASE_URL` isn't set.
    pub base_url: Arc<str>,
    /// Topic for consumers of the third source system; `None` if it isn't wanted.
    pub compat: Option<CompatConfig>,
}

/// Topic for consumers of the third source system.
#[derive(Debug, Clone)]
pub struct CompatConfig {
    pub topic: Arc<str>,
    /// URL of the bucket, without a final slash.
    pub bucket_url: Arc<str>,
}

impl EventsConfig {
    /// Reads the settings, for commands that repair. What they do to files is not told on the compatible topic.
    pub fn read(env: &mut Env) -> Self {
        Self::of(outer::read_base_url(env).as_ref())
    }

    /// Makes the settings of a server. Without a cluster there are no other programs that read a topic.
    pub fn of_server(outer: &OuterConfig, kafka: Option<&KafkaConfig>, s3: &S3Config) -> Self {
        let topic = kafka.and_then(|kafka| kafka.compat_topic.as_deref());
        let compat =
            topic.map(|topic| CompatConfig { topic: topic.into(), bucket_url: s3.bucket_url().into() });
        Self { compat, ..Self::of(outer.base_url.as_ref()) }
    }

    fn of(base_url: Option<&BaseUrl>) -> Self {
        let base_url = base_url.map(|base| format!("{}{}", base.origin(), base.path())).unwrap_or_default();
        Self { base_url: base_url.into(), compat: None }
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
