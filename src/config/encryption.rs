//! Whether a connection to PostgreSQL is encrypted and whom it believes: libpq's `sslmode` and `sslrootcert`.

use std::path::Path;

use super::tls::Authorities;

/// What the server must show.
#[derive(Debug, Clone)]
pub enum Encryption {
    /// In the clear.
    Off,
    /// Where the server can; whoever it is.
    IfPossible,
    /// Always, whoever the server is: against those who listen, not against those who pretend.
    Unverified,
    /// A certificate from one of these.
    Authority(Authorities),
    /// A certificate from one of these, for the host that was asked for.
    Host(Authorities),
}

const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

const MODE: &str = "sslmode";
const ROOT_CERTIFICATE: &str = "sslrootcert";
/// libpq's word for the authorities that come with the system.
const DEFAULT_AUTHORITIES: &str = "system";

/// Parameters of a database URL that the client knows. Any other is an error: it may ask for something that matters.
const PARAMETERS: [&str; 17] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

impl Encryption {
    /// Takes its own parameters out of a database URL; gives what is left. Reads the file that `sslrootcert` names.
    pub fn take_from(url: &str) -> Result<(String, Self), String> {
        let Some((base, query)) = url.split_once('?') else {
            return Ok((url.to_owned(), Self::IfPossible));
        };
        let (mut mode, mut root_certificate, mut others) = (None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            // libpq's URLs have no '+' for a space.
            let plus = parameter.replace('+', "%2B");
            let (name, value) = url::form_urlencoded::parse(plus.as_bytes()).next().unwrap_or_default();
            match &*name {
                MODE => mode = Some(value.into_owned()),
                ROOT_CERTIFICATE => root_certificate = Some(value.into_owned()),
                name if PARAMETERS.contains(&name) => others.push(parameter),
                name if is_about_encryption(name) => {
                    return Err(format!("the parameter {name} is not supported"));
                }
                // Unnamed: of a URL with a mistake it may be a piece of the password.
                _ => return Err("it has a parameter that is not supported".to_owned()),
            }
        }
        let rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        Ok((rest, Self::of(mode.as_deref(), root_certificate.as_deref())?))
    }

    /// As libpq understands the two, but that a certificate authority is never named in vain.
    fn of(mode: Option<&str>, root_certificate: Option<&str>) -> Result<Self, String> {
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
            // Any certificate of a public authority would do, which everybody can have.
            ("verify-ca", None) => Err("sslmode=verify-ca needs sslrootcert".to_owned()),
            ("verify-full", authorities) => Ok(Self::Host(authorities.unwrap_or_default())),
            _ => Err(format!("sslmode is not one of {}", MODES.join(", "))),
        }
    }
}

/// By the names that libpq gives to parameters.
fn is_about_encryption(name: &str) -> bool {
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_name && ["ssl", "gss", "requiressl"].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of_authority() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), Authorities::default().to_pem()).unwrap();
        file
    }

    #[test]
    fn the_modes_mean_what_libpq_means() {
        let file = file_of_authority();
        let ca = format!("sslrootcert={}", file.path().display());
        let of =
            |query: &str| Encryption::take_from(&format!("postgresql://u:p@h/d?{query}")).map(|both| both.1);
        assert!(matches!(Encryption::take_from("postgresql://h/d"), Ok((_, Encryption::IfPossible))));
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
            let taken = Encryption::take_from(&format!("postgresql://u:hunter2@h/d?{query}"));
            let error = taken.map(drop).expect_err(query);
            assert!(!error.contains("hunter2"));
        }
        let mistaken = Encryption::take_from("postgresql://u:pass?hunter2@h/d").map(drop).unwrap_err();
        assert!(!mistaken.contains("hunter2"), "{mistaken}");
    }

    #[test]
    fn the_other_parameters_stay_as_they_are() {
        let url = "postgresql://u:p%40@h/d?application_name=a%20b&sslmode=require&options=-c%20x=1";
        let (rest, _) = Encryption::take_from(url).unwrap();
        assert_eq!(rest, "postgresql://u:p%40@h/d?application_name=a%20b&options=-c%20x=1");
        assert_eq!(Encryption::take_from("postgresql://h/d?sslmode=disable").unwrap().0, "postgresql://h/d");
    }
}
