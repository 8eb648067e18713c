//! Encryption of connections to PostgreSQL and the trusted authorities: libpq's `sslmode` and `sslrootcert`.

use std::path::Path;

use super::tls::Authorities;

/// Encryption of a connection, and what the server must prove.
#[derive(Debug, Clone)]
pub enum Encryption {
    /// No encryption.
    Off,
    /// Encrypted if the server supports it, without verification.
    IfPossible,
    /// Always encrypted, without verification: protects against eavesdropping, not against impersonation.
    Unverified,
    /// Encrypted, with a certificate of one of these authorities.
    Authority(Authorities),
    /// Encrypted, with a certificate of one of these authorities for the requested host.
    Host(Authorities),
}

const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// Value of `sslrootcert` for the system's default authorities.
const DEFAULT_AUTHORITIES: &str = "system";

impl Encryption {
    /// Reads both parameters as libpq does, except that a certificate authority that would not be used is an error.
    pub(super) fn of(mode: Option<&str>, root_certificate: Option<&str>) -> Result<Self, String> {
        let authorities = match root_certificate {
            None => None,
            Some(DEFAULT_AUTHORITIES) if mode == Some("verify-full") => None,
            Some(DEFAULT_AUTHORITIES) => {
                return Err("sslrootcert=system needs sslmode=verify-full".to_owned());
            }
            Some(path) => Some(
                Authorities::of_file(Path::new(path))
                    .map_err(|error| format!("the file that sslrootcert names {error}"))?,
            ),
        };
        match (mode.unwrap_or("prefer"), authorities) {
            ("disable" | "prefer", Some(_)) => {
                Err("sslrootcert needs sslmode=verify-full, verify-ca or require".to_owned())
            }
            ("disable", None) => Ok(Self::Off),
            ("prefer", None) => Ok(Self::IfPossible),
            ("require", None) => Ok(Self::Unverified),
            ("require" | "verify-ca", Some(authorities)) => Ok(Self::Authority(authorities)),
            // Without the host's name, any certificate of a public authority would be accepted, and anybody can get
            // one.
            ("verify-ca", None) => Err("sslmode=verify-ca needs sslrootcert".to_owned()),
            ("verify-full", authorities) => Ok(Self::Host(authorities.unwrap_or_default())),
            _ => Err(format!("sslmode is not one of {}", MODES.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::database_url::DatabaseTarget;

    fn file_of_authority() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), Authorities::default().to_pem()).unwrap();
        file
    }

    #[test]
    fn the_modes_mean_what_libpq_means() {
        let file = file_of_authority();
        let ca = format!("sslrootcert={}", file.path().display());
        let of = |query: &str| {
            DatabaseTarget::parse(&format!("postgresql://u:p@h/d?{query}")).map(|target| target.encryption)
        };
        assert!(matches!(of("application_name=x"), Ok(Encryption::IfPossible)));
        assert!(matches!(of("sslmode=disable"), Ok(Encryption::Off)));
        assert!(matches!(of("sslmode=prefer"), Ok(Encryption::IfPossible)));
        assert!(matches!(of("sslmode=require"), Ok(Encryption::Unverified)));
        assert!(matches!(of(&format!("sslmode=require&{ca}")), Ok(Encryption::Authority(_))));
        assert!(matches!(of(&format!("{ca}&sslmode=verify-ca")), Ok(Encryption::Authority(_))));
        assert!(matches!(of(&format!("sslmode=verify-full&{ca}")), Ok(Encryption::Host(_))));
        assert!(matches!(of("sslmode=verify-full"), Ok(Encryption::Host(_))));
        assert!(matches!(of("sslmode=verify-full&sslrootcert=system"), Ok(Encryption::Host(_))));
    }

    #[test]
    fn what_cant_be_done_is_an_error_and_never_less_encryption() {
        let file = file_of_authority();
        let ca = format!("sslrootcert={}", file.path().display());
        for query in [
            "sslmode=allow",
            "sslmode=REQUIRE",
            "sslmode=verify-ca",
            "sslmode=require&sslrootcert=system",
            "sslmode=verify-full&sslrootcert=/nowhere",
            &ca,
            &format!("sslmode=prefer&{ca}"),
            &format!("sslmode=disable&{ca}"),
            "sslmode=verify-full&sslcert=/client.pem",
            "sslnegotiation=direct",
            "gssencmode=require",
            "requiressl=1",
        ] {
            let taken = DatabaseTarget::parse(&format!("postgresql://u:hunter2@h/d?{query}"));
            let error = taken.map(drop).expect_err(query);
            assert!(!error.contains("hunter2"));
        }
        let mistaken = DatabaseTarget::parse("postgresql://u:1/pass?hunter2@h/d").map(drop).unwrap_err();
        assert!(!mistaken.contains("hunter2"), "{mistaken}");
    }
}
