//! Encryption of connections to Kafka and login: one set of settings for both clients.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use secrecy::SecretString;

use super::Env;
use super::tls::{Authorities, Identity, read_authorities, read_identity};

/// Trusted authorities and the client's certificate, in the form that each of the two clients takes.
#[derive(Clone)]
pub struct KafkaTls {
    /// Settings for the client that uses rustls.
    pub client: Arc<ClientConfig>,
    /// Authorities for the client that uses OpenSSL.
    pub authorities: Authorities,
    pub identity: Option<Arc<Identity>>,
}

impl fmt::Debug for KafkaTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaTls").field("authorities", &self.authorities).finish_non_exhaustive()
    }
}

/// Login at the brokers.
#[derive(Debug, Clone)]
pub struct Sasl {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: SecretString,
}

/// SASL mechanism of the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password is sent as it is.
    Plain,
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    /// All mechanisms.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Returns Kafka's name of the mechanism.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    const fn is_scram(self) -> bool {
        match self {
            Self::Plain => false,
            Self::ScramSha256 | Self::ScramSha512 => true,
        }
    }
}

const TLS_FILES: [&str; 3] = ["KAFKA_TLS_CA", "KAFKA_TLS_CERT", "KAFKA_TLS_KEY"];
const SASL: [&str; 3] = ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"];

/// True if librdkafka was built with OpenSSL, without which it has neither TLS nor SCRAM.
const HAS_OPENSSL: bool = cfg!(feature = "kafka-tls");

pub(super) fn read_security(env: &mut Env) -> (Option<KafkaTls>, Option<Sasl>) {
    (read_tls(env), read_sasl(env))
}

fn read_tls(env: &mut Env) -> Option<KafkaTls> {
    let named: Vec<&str> = TLS_FILES.into_iter().filter(|name| env.is_set(&[name])).collect();
    let wanted = match env.text(&["KAFKA_TLS"]).map(|text| text.to_ascii_lowercase()).as_deref() {
        None => !named.is_empty(),
        Some("true") => true,
        Some("false") => false,
        Some(_) => {
            env.problem("KAFKA_TLS is not true or false");
            return None;
        }
    };
    if !wanted {
        if !named.is_empty() {
            env.problem(format!("KAFKA_TLS=false contradicts {}", named.join(", ")));
        }
        return None;
    }
    if !HAS_OPENSSL {
        env.problem(needs_openssl("KAFKA_TLS"));
    }
    let authorities = read_authorities(env, &["KAFKA_TLS_CA"]).unwrap_or_default();
    let identity = read_identity(env, "KAFKA_TLS_CERT", "KAFKA_TLS_KEY").map(Arc::new);
    match authorities.client(identity.as_deref()) {
        Ok(client) => Some(KafkaTls { client: Arc::new(client), authorities, identity }),
        Err(error) => {
            env.problem(format!("KAFKA_TLS_CERT with KAFKA_TLS_KEY {error}"));
            None
        }
    }
}

fn read_sasl(env: &mut Env) -> Option<Sasl> {
    let (named, missing): (Vec<&str>, Vec<&str>) = SASL.into_iter().partition(|name| env.is_set(&[name]));
    if named.is_empty() {
        return None;
    }
    let mechanism = read_mechanism(env);
    let username = env.text(&["KAFKA_SASL_USERNAME"]);
    let password = env.secret("KAFKA_SASL_PASSWORD");
    if !missing.is_empty() {
        env.problem(format!("{} is required with {}", missing.join(", "), named.join(", ")));
    }
    Some(Sasl { mechanism: mechanism?, username: username?, password: password? })
}

fn read_mechanism(env: &mut Env) -> Option<SaslMechanism> {
    let name = env.text(&["KAFKA_SASL_MECHANISM"])?;
    let known = SaslMechanism::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(&name));
    match known {
        None => {
            let names = SaslMechanism::ALL.map(SaslMechanism::name);
            env.problem(format!("KAFKA_SASL_MECHANISM is not one of {}", names.join(", ")));
        }
        Some(mechanism) if mechanism.is_scram() && !HAS_OPENSSL => {
            env.problem(needs_openssl(&format!("KAFKA_SASL_MECHANISM={}", mechanism.name())));
        }
        Some(_) => {}
    }
    known
}

fn needs_openssl(what: &str) -> String {
    format!(
        "{what} needs OpenSSL, which this executable was built without: \
         build it with `cargo build --release --features kafka-tls` (Debian: libssl-dev, pkg-config)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(vars: &[(&str, &str)]) -> String {
        let mut env = Env::of(vars.iter().copied());
        read_security(&mut env);
        env.finish().map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn nothing_set_is_neither_tls_nor_a_login() {
        let (tls, sasl) = read_security(&mut Env::of([("KAFKA_TLS", "false")]));
        assert!(tls.is_none() && sasl.is_none());
        assert_eq!(problems(&[]), "");
    }

    #[test]
    fn a_login_by_plain_is_possible_in_every_build_and_its_password_is_not_shown() {
        let mut env = Env::of([
            ("KAFKA_SASL_MECHANISM", "plain"),
            ("KAFKA_SASL_USERNAME", "me"),
            ("KAFKA_SASL_PASSWORD", "hunter2"),
        ]);
        let (tls, sasl) = read_security(&mut env);
        env.finish().unwrap();
        assert!(tls.is_none());
        assert_eq!(sasl.as_ref().unwrap().mechanism, SaslMechanism::Plain);
        assert!(!format!("{sasl:?}").contains("hunter2"));
    }

    #[test]
    fn half_a_login_is_an_error_that_says_what_is_missing() {
        let said = problems(&[("KAFKA_SASL_USERNAME", "me"), ("KAFKA_SASL_PASSWORD", "hunter2")]);
        assert!(said.contains("KAFKA_SASL_MECHANISM is required with KAFKA_SASL_USERNAME"), "{said}");
        let said = problems(&[("KAFKA_SASL_MECHANISM", "GSSAPI")]);
        assert!(said.contains("KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD is required"), "{said}");
        assert!(said.contains("not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"), "{said}");
    }

    #[test]
    fn half_a_client_certificate_is_an_error_that_says_what_is_missing() {
        let said = problems(&[("KAFKA_TLS_CERT", "/nowhere")]);
        assert!(said.contains("KAFKA_TLS_KEY is required with KAFKA_TLS_CERT"), "{said}");
        assert!(said.contains("the file that KAFKA_TLS_CERT names can't be read"), "{said}");
    }

    #[test]
    fn a_key_of_another_certificate_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap());
        let (certificate, key) = (dir.path().join("certificate"), dir.path().join("key"));
        std::fs::write(&certificate, one.cert.pem()).unwrap();
        std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        let files =
            [("KAFKA_TLS_CERT", certificate.to_str().unwrap()), ("KAFKA_TLS_KEY", key.to_str().unwrap())];
        let said = problems(&files);
        assert!(said.contains("KAFKA_TLS_CERT with KAFKA_TLS_KEY can't be used"), "{said}");

        std::fs::write(&key, one.signing_key.serialize_pem()).unwrap();
        assert!(!problems(&files).contains("can't be used"));
    }

    #[test]
    fn tls_and_scram_need_openssl_and_say_so() {
        let scram = [
            ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256"),
            ("KAFKA_SASL_USERNAME", "me"),
            ("KAFKA_SASL_PASSWORD", "hunter2"),
        ];
        for said in [problems(&[("KAFKA_TLS", "true")]), problems(&scram)] {
            assert_eq!(said.contains("--features kafka-tls"), !HAS_OPENSSL, "{said}");
            assert_eq!(said.is_empty(), HAS_OPENSSL, "{said}");
        }
    }
}
