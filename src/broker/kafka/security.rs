//! Security settings in the form that each of the two clients takes: encryption of the connection, and login.

use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use secrecy::ExposeSecret;

use crate::config::KafkaConfig;
use crate::config::kafka_security::SaslMechanism;

/// Tells whether a connection can be refused for its certificates or its login.
pub(super) fn may_be_refused(config: &KafkaConfig) -> bool {
    config.tls.is_some() || config.sasl.is_some()
}

/// Warns when the password is sent without encryption.
pub(super) fn warn_about_passwords(config: &KafkaConfig) {
    if let (None, Some(sasl)) = (&config.tls, &config.sasl)
        && sasl.mechanism == SaslMechanism::Plain
    {
        log::warn!("the password for kafka is sent in the clear; KAFKA_TLS=true encrypts it");
    }
}

/// Adds the security settings to rskafka's.
pub(super) fn rskafka(builder: ClientBuilder, config: &KafkaConfig) -> ClientBuilder {
    let builder = match &config.tls {
        Some(tls) => builder.tls_config(tls.client.clone()),
        None => builder,
    };
    let Some(sasl) = &config.sasl else { return builder };
    let credentials = Credentials::new(sasl.username.clone(), sasl.password.expose_secret().to_owned());
    builder.sasl_config(match sasl.mechanism {
        SaslMechanism::Plain => SaslConfig::Plain(credentials),
        SaslMechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
        SaslMechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
    })
}

/// Adds the security settings to librdkafka's.
pub(super) fn librdkafka(settings: &mut rdkafka::ClientConfig, config: &KafkaConfig) {
    let protocol = match (&config.tls, &config.sasl) {
        (None, None) => "plaintext",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), None) => "ssl",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    settings.set("security.protocol", protocol);
    if let Some(tls) = &config.tls {
        settings.set("ssl.ca.pem", tls.authorities.to_pem());
        if let Some(identity) = &tls.identity {
            let (certificates, key) = identity.to_pem();
            settings.set("ssl.certificate.pem", certificates).set("ssl.key.pem", key.expose_secret());
        }
    }
    if let Some(sasl) = &config.sasl {
        settings
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.expose_secret());
    }
}
