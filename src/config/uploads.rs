//! Settings of uploads and of the trash.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Env;
use super::retention::{RetentionTime, SYNTAX as RETENTION_SYNTAX};
use crate::domain::uploads::type_rules::{TypeList, TypeRules};

/// Limits of uploads, and times for which they are kept.
#[derive(Debug, Clone)]
pub struct UploadConfig {
    /// Maximum size of a file, in bytes.
    pub max_size: u64,
    /// Media types that may be uploaded.
    pub types: TypeRules,
    /// Time from the last bytes of an upload to its failing when others are still missing.
    pub expiry: Duration,
    /// Time for which files in the trash are kept; `None` keeps them for ever.
    pub trash_retention: Option<Duration>,
}

/// Time for which an upload waits for its next bytes.
const DEFAULT_EXPIRY: Duration = Duration::from_hours(24);

const TYPES_SYNTAX: &str = "a list of media types like `image/*, application/pdf`";

impl Default for UploadConfig {
    fn default() -> Self {
        Self {
            max_size: 5 * GIB,
            types: TypeRules::default(),
            expiry: DEFAULT_EXPIRY,
            trash_retention: Some(Duration::from_hours(30 * 24)),
        }
    }
}

impl UploadConfig {
    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        Self {
            max_size: env.parse(&["UPLOAD_MAX_SIZE"], ByteSize(5 * GIB), SIZE_SYNTAX).0,
            types: TypeRules {
                allowed: read_types(env, "UPLOAD_ALLOWED_TYPES"),
                denied: read_types(env, "UPLOAD_DENIED_TYPES"),
            },
            expiry: read_expiry(env),
            trash_retention: env.parse(&["TRASH_RETENTION"], RetentionTime::days(30), RETENTION_SYNTAX).0,
        }
    }
}

fn read_types(env: &mut Env, name: &'static str) -> TypeList {
    env.described(name, TYPES_SYNTAX).map_or_else(TypeList::default, |text| {
        text.parse().unwrap_or_else(|_| {
            env.problem(format!("{name} is not {TYPES_SYNTAX}"));
            TypeList::default()
        })
    })
}

fn read_expiry(env: &mut Env) -> Duration {
    let expiry = env.duration("UPLOAD_EXPIRY", DEFAULT_EXPIRY, Duration::from_secs(1));
    if expiry < Duration::from_secs(1) {
        env.problem("UPLOAD_EXPIRY must be at least 1s");
        return DEFAULT_EXPIRY;
    }
    expiry
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const SIZE_SYNTAX: &str = "a size from 1 to 78GiB, bare in bytes or with KiB, MiB or GiB";

/// Maximum size of a file: 10,000 parts, which is S3's limit, of 8 MiB.
const MAX_SIZE: u64 = 78 * GIB;

const UNITS: [(&str, u64); 3] = [("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];

/// Number of bytes, written with the largest unit that leaves a whole number.
struct ByteSize(u64);

impl FromStr for ByteSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let unit = UNITS.iter().find_map(|(unit, bytes)| {
            let start = text.len().checked_sub(unit.len())?;
            let (number, suffix) = text.split_at_checked(start)?;
            suffix.eq_ignore_ascii_case(unit).then_some((number.trim_end(), *bytes))
        });
        let (number, bytes) = unit.unwrap_or((text, 1));
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(bytes));
        size.filter(|size| (1..=MAX_SIZE).contains(size)).map(Self).ok_or(())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, bytes)| self.0.is_multiple_of(*bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<UploadConfig, String> {
        let mut env = Env::of(vars.iter().copied());
        let config = UploadConfig::read(&mut env);
        env.finish().map(|()| config).map_err(|error| error.to_string())
    }

    #[test]
    fn uploads_have_limits_without_any_setting() {
        let config = read(&[]).unwrap();
        assert_eq!(config.max_size, 5 * GIB);
        assert_eq!(config.types, TypeRules::default());
        assert_eq!(config.expiry, Duration::from_hours(24));
        assert_eq!(config.trash_retention, Some(Duration::from_hours(30 * 24)));
    }

    #[test]
    fn a_size_is_in_bytes_or_has_a_unit() {
        for (text, size) in [
            ("1", 1),
            ("1000", 1000),
            ("10KiB", 10 * KIB),
            ("10 mib", 10 * MIB),
            ("2GiB", 2 * GIB),
            ("78GiB", MAX_SIZE),
            ("83751862272", MAX_SIZE),
        ] {
            assert_eq!(read(&[("UPLOAD_MAX_SIZE", text)]).unwrap().max_size, size, "{text}");
        }
        for wrong in [
            "0",
            "0GiB",
            "-1",
            "+1",
            "1.5GiB",
            "GiB",
            "1GB",
            "1G",
            "1 000",
            "79GiB",
            "83751862273",
            "99999999999GiB",
            "unlimited",
            "日本",
            "1é",
        ] {
            let problem = read(&[("UPLOAD_MAX_SIZE", wrong)]).unwrap_err();
            assert!(problem.contains("UPLOAD_MAX_SIZE is not a size"), "{wrong}: {problem}");
        }
        for (size, text) in [(5 * GIB, "5GiB"), (1536 * KIB, "1536KiB"), (1000, "1000")] {
            assert_eq!(ByteSize(size).to_string(), text);
        }
    }

    #[test]
    fn types_and_times_are_checked() {
        let config = read(&[
            ("UPLOAD_ALLOWED_TYPES", "image/*,"),
            ("UPLOAD_DENIED_TYPES", "image/svg+xml"),
            ("UPLOAD_EXPIRY", "90"),
            ("TRASH_RETENTION", "forever"),
        ]);
        let config = config.unwrap();
        assert!(config.types.check(&"image/png".parse().unwrap(), None).is_ok());
        assert!(config.types.check(&"image/svg+xml".parse().unwrap(), None).is_err());
        assert!(config.types.check(&"text/plain".parse().unwrap(), None).is_err());
        assert_eq!((config.expiry, config.trash_retention), (Duration::from_secs(90), None));
        for (name, wrong) in [
            ("UPLOAD_ALLOWED_TYPES", "im age"),
            ("UPLOAD_DENIED_TYPES", "*.exe"),
            ("UPLOAD_EXPIRY", "0"),
            ("UPLOAD_EXPIRY", "never"),
            ("TRASH_RETENTION", "1y"),
        ] {
            let problem = read(&[(name, wrong)]).unwrap_err();
            assert!(problem.contains(name) && !problem.contains(wrong), "{problem}");
        }
    }
}
