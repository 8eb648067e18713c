//! Rules of which media types may be uploaded: lists of allowed and denied ones.

use std::fmt;
use std::str::FromStr;

use crate::domain::{Error, ErrorCode, MediaType};

/// Name that stands for all executable formats in a list.
const EXECUTABLES: &str = "executables";

/// Formats that a person's machine runs when the file is opened.
const EXECUTABLE_TYPES: [&str; 19] = [
    "application/vnd.microsoft.portable-executable",
    "application/x-executable",
    "application/x-mach-binary",
    "application/x-coff",
    "application/x-appimage",
    "application/x-msi",
    "application/x-ms-shortcut",
    "application/x-apple-diskimage",
    "application/java-archive",
    "application/java-vm",
    "application/vnd.android.package-archive",
    "application/vnd.android.dex",
    "application/vnd.debian.binary-package",
    "application/x-rpm",
    "application/vnd.ms-appx",
    "application/hta",
    "text/x-shellscript",
    "text/x-msdos-batch",
    "text/vbscript",
];

/// Entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    TopLevel(String),
    /// Single type, under whatever name.
    Type(MediaType),
    Executables,
}

/// List of media types, separated by commas: `image/png`, `image/*`, `*/*`, and `executables` for programs and scripts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeList(Vec<Pattern>);

/// Reason why a text is not a list of media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a list of media types has entries like image/png, image/*, */* or executables, separated by commas")]
pub struct NotATypeList;

/// Lists of an installation. An empty list of allowed types allows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeRules {
    pub allowed: TypeList,
    pub denied: TypeList,
}

/// Media type that may not be uploaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeRefused {
    #[error("files of type {0} are not accepted here")]
    Denied(MediaType),
    #[error("files of type {media_type} are not accepted here; accepted are: {allowed}")]
    NotAllowed { media_type: MediaType, allowed: TypeList },
}

impl From<TypeRefused> for Error {
    fn from(refused: TypeRefused) -> Self {
        Self::new(ErrorCode::TypeNotAllowed, refused.to_string())
    }
}

impl TypeRules {
    /// Checks a file by its real type. Its claimed type may not be a denied one either: it is what others will take the file for.
    pub fn check(&self, real: &MediaType, claimed: Option<&MediaType>) -> Result<(), TypeRefused> {
        self.check_claim(claimed)?;
        if self.denied.has(real) {
            return Err(TypeRefused::Denied(real.clone()));
        }
        if !self.allowed.0.is_empty() && !self.allowed.has(real) {
            return Err(TypeRefused::NotAllowed { media_type: real.clone(), allowed: self.allowed.clone() });
        }
        Ok(())
    }

    /// Checks what a client says before any byte is there, so that a denied file is refused without being sent.
    pub fn check_claim(&self, claimed: Option<&MediaType>) -> Result<(), TypeRefused> {
        // Clients say that they don't know in this way, too.
        let claimed = claimed.filter(|claimed| !claimed.is_unknown());
        match claimed.filter(|claimed| self.denied.has(claimed)) {
            Some(denied) => Err(TypeRefused::Denied(denied.clone())),
            None => Ok(()),
        }
    }
}

impl TypeList {
    fn has(&self, media_type: &MediaType) -> bool {
        self.0.iter().any(|pattern| pattern.matches(media_type))
    }
}

impl Pattern {
    fn matches(&self, media_type: &MediaType) -> bool {
        let canonical = media_type.canonical();
        match self {
            Self::Any => true,
            Self::TopLevel(top_level) => {
                media_type.top_level() == top_level || canonical.split('/').next() == Some(top_level.as_str())
            }
            Self::Type(one) => one.canonical() == canonical,
            Self::Executables => EXECUTABLE_TYPES.contains(&canonical),
        }
    }
}

impl FromStr for Pattern {
    type Err = NotATypeList;

    fn from_str(text: &str) -> Result<Self, NotATypeList> {
        if text == "*/*" || text == "*" {
            return Ok(Self::Any);
        }
        if text.eq_ignore_ascii_case(EXECUTABLES) {
            return Ok(Self::Executables);
        }
        let media_type = |text: &str| text.parse::<MediaType>().map_err(|_| NotATypeList);
        if text.contains(';') {
            return Err(NotATypeList);
        }
        match text.strip_suffix("/*") {
            // Any subtype will do to check the syntax.
            Some(top_level) => {
                Ok(Self::TopLevel(media_type(&format!("{top_level}/x"))?.top_level().to_owned()))
            }
            None => Ok(Self::Type(media_type(text)?)),
        }
    }
}

impl FromStr for TypeList {
    type Err = NotATypeList;

    /// Parses a list; empty entries don't count.
    fn from_str(text: &str) -> Result<Self, NotATypeList> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for TypeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match pattern {
                Pattern::Any => f.write_str("*/*")?,
                Pattern::TopLevel(top_level) => write!(f, "{top_level}/*")?,
                Pattern::Type(media_type) => write!(f, "{media_type}")?,
                Pattern::Executables => f.write_str(EXECUTABLES)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_accepted(allowed: &str, denied: &str, real: &str, claimed: &str) -> bool {
        let rules = TypeRules { allowed: allowed.parse().unwrap(), denied: denied.parse().unwrap() };
        let claimed: Option<MediaType> = Some(claimed).filter(|c| !c.is_empty()).map(|c| c.parse().unwrap());
        rules.check(&real.parse().unwrap(), claimed.as_ref()).is_ok()
    }

    #[test]
    fn the_real_type_decides() {
        for (allowed, denied, real, claimed, accepted) in [
            ("", "", "application/octet-stream", "", true),
            ("*/*", "", "application/octet-stream", "", true),
            ("image/*", "", "image/png", "", true),
            ("IMAGE/*, application/PDF", "", "application/pdf", "", true),
            ("image/*", "", "application/pdf", "image/png", false),
            ("image/*", "", "image/png", "application/pdf", true),
            ("image/png", "", "image/jpeg", "", false),
            ("image/jpg", "", "image/jpeg", "", true),
            ("image/*", "image/svg+xml", "image/svg+xml", "", false),
            ("image/*", "image/svg+xml", "image/png", "", true),
            ("", "text/*", "text/html", "", false),
            ("", "text/*", "application/javascript", "", false),
            ("", "text/*", "image/png", "text/html", false),
            ("", "text/*", "image/png", "application/octet-stream", true),
            ("", "application/octet-stream", "application/octet-stream", "", false),
            ("", "application/octet-stream", "image/png", "application/octet-stream", true),
            ("", "*/*", "image/png", "", false),
            ("*/*", "*/*", "image/png", "", false),
        ] {
            let found = is_accepted(allowed, denied, real, claimed);
            assert_eq!(found, accepted, "allowed {allowed}, denied {denied}: {real} as {claimed}");
        }
    }

    #[test]
    fn a_program_has_many_names() {
        const PROGRAM: &str = "application/vnd.microsoft.portable-executable";
        for denied in
            ["executables", "Executables", "application/x-msdownload", "application/x-dosexec", PROGRAM]
        {
            assert!(!is_accepted("", denied, PROGRAM, ""), "{denied}");
            assert!(!is_accepted("", denied, "text/plain", "application/x-msdos-program"), "{denied}");
        }
        for real in
            ["application/x-executable", "text/x-shellscript", "application/x-sh", "application/x-msi"]
        {
            assert!(!is_accepted("", "executables", real, ""), "{real}");
            assert!(is_accepted("", "application/x-msdownload", real, ""), "{real}");
        }
        assert!(is_accepted("", "executables", "application/zip", "application/zip"));
        assert!(!is_accepted("executables", "", "application/zip", ""));
        for executable in EXECUTABLE_TYPES {
            let media_type: MediaType = executable.parse().unwrap();
            assert_eq!(media_type.canonical(), executable, "an alias is never found");
        }
    }

    #[test]
    fn a_claim_is_refused_before_any_byte_is_there() {
        let rules = TypeRules { allowed: "image/*".parse().unwrap(), denied: "text/*".parse().unwrap() };
        let check = |claimed: &str| rules.check_claim(Some(&claimed.parse().unwrap()));
        assert_eq!(check("text/html"), Err(TypeRefused::Denied("text/html".parse().unwrap())));
        // The bytes may be an image all the same.
        assert_eq!(check("application/pdf"), Ok(()));
        assert_eq!(rules.check_claim(None), Ok(()));
    }

    #[test]
    fn a_client_is_told_what_is_accepted() {
        let rules = TypeRules { allowed: "image/*,text/CSV".parse().unwrap(), denied: TypeList::default() };
        let error = Error::from(rules.check(&"text/html".parse().unwrap(), None).unwrap_err());
        assert_eq!(error.code, ErrorCode::TypeNotAllowed);
        assert_eq!(
            error.detail,
            "files of type text/html are not accepted here; accepted are: image/*, text/csv"
        );
    }

    #[test]
    fn a_list_that_can_not_be_read_is_refused() {
        for text in [
            "image",
            "image/",
            "/png",
            "*/png",
            "im*/png",
            "image/p*",
            "image/**",
            "image/png image/gif",
            "text/plain; charset=utf-8",
            "image/png;",
            "executable",
            "/*",
            "**",
        ] {
            assert_eq!(text.parse::<TypeList>(), Err(NotATypeList), "{text}");
        }
        assert_eq!(" , ,".parse::<TypeList>(), Ok(TypeList::default()));
    }

    proptest! {
        #[test]
        fn a_list_is_written_as_it_is_read(
            entries in proptest::collection::vec(
                prop_oneof![
                    Just("*/*".to_owned()), Just("executables".to_owned()), "[a-z]{1,5}/\\*", "[a-z]{1,5}/[a-z+.-]{0,5}x",
                ],
                0..6,
            ),
        ) {
            let list: Result<TypeList, _> = entries.join(",").parse();
            if let Ok(list) = list {
                prop_assert_eq!(list.to_string().parse(), Ok(list));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = text.parse::<TypeList>();
        }
    }
}
