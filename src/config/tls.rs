//! Certificates that settings name: read and checked at the start, in the form that TLS clients need.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};

use super::Env;
use super::env::BOM;

/// Trusted certificate authorities: those of one file, or those that browsers trust (Mozilla's).
#[derive(Clone)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

/// Client certificate with its chain and its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    /// Text of the key's file.
    key: SecretString,
}

/// Problem of a file; it never shows the content.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("can't be read: {0}")]
    Unreadable(std::io::ErrorKind),
    #[error("holds no PEM certificate")]
    NoCertificate,
    #[error("holds no PEM private key without a passphrase")]
    NoKey,
    #[error("can't be used: {0}")]
    Unusable(#[from] rustls::Error),
}

impl Authorities {
    /// Reads a file of PEM certificates: these authorities are trusted, and no others.
    pub fn of_file(path: &Path) -> Result<Self, FileError> {
        let certificates = certificates(&read(path)?)?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone())?;
        }
        Ok(Self(certificates.into()))
    }

    /// Makes the store of root certificates for rustls.
    pub fn root_store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.0.iter().cloned());
        store
    }

    /// Returns the certificates in PEM, for libraries with their own TLS.
    pub fn to_pem(&self) -> String {
        to_pem(&self.0)
    }

    /// Makes the settings of a TLS client that trusts these authorities and presents its certificate, if it has one.
    pub fn client(&self, identity: Option<&Identity>) -> Result<ClientConfig, FileError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.root_store());
        let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
        Ok(builder.with_client_auth_cert(identity.chain.clone(), private_key(&identity.key)?)?)
    }
}

impl Default for Authorities {
    fn default() -> Self {
        Self(webpki_root_certs::TLS_SERVER_ROOT_CERTS.into())
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificate authorities", self.0.len())
    }
}

impl Identity {
    /// Returns the certificates in PEM and the text of the key's file, for libraries with their own TLS.
    pub fn to_pem(&self) -> (String, &SecretString) {
        (to_pem(&self.chain), &self.key)
    }
}

/// Returns the implementation of cryptography. It is named explicitly, because rustls may panic when it has to choose
/// one.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Reads the authorities of the file that one of the variables names; `None`, for the default ones, when none is set.
pub fn read_authorities(env: &mut Env, names: &[&str]) -> Option<Authorities> {
    read_file(env, names, Authorities::of_file)
}

/// Reads the certificate and the key that the variables name; both must be set, or neither.
pub fn read_identity(env: &mut Env, certificate: &str, key: &str) -> Option<Identity> {
    for (one, other) in [(certificate, key), (key, certificate)] {
        if env.is_set(&[one]) && !env.is_set(&[other]) {
            env.problem(format!("{other} is required with {one}"));
        }
    }
    let chain = read_file(env, &[certificate], |path| certificates(&read(path)?));
    let key = read_file(env, &[key], |path| {
        let text = SecretString::from(read(path)?);
        private_key(&text).map(|_| text)
    });
    Some(Identity { chain: chain?, key: key? })
}

fn read_file<T>(
    env: &mut Env,
    names: &[&str],
    parse: impl FnOnce(&Path) -> Result<T, FileError>,
) -> Option<T> {
    let path = env.text(names)?;
    match parse(Path::new(&path)) {
        Ok(value) => Some(value),
        Err(error) => {
            env.problem(format!("the file that {} names {error}", names[0]));
            None
        }
    }
}

fn private_key(pem: &SecretString) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| FileError::NoKey)
}

fn read(path: &Path) -> Result<String, FileError> {
    let text = std::fs::read_to_string(path).map_err(|error| FileError::Unreadable(error.kind()))?;
    Ok(text.strip_prefix(BOM).map_or_else(|| text.clone(), str::to_owned))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(FileError::NoCertificate),
    }
}

fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = BASE64_STANDARD.encode(certificate);
        for line in text.as_bytes().chunks(64) {
            // Base64 is ASCII.
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}
