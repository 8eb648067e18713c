//! Commands that people paste into a shell: arguments quoted so that the shell reads back the same bytes.

use std::ffi::OsStr;

/// An argument as a POSIX shell reads it back: unchanged where every character is plain, otherwise in single quotes.
/// Control characters and bytes that are not UTF-8 could not be pasted, so such an argument is written as `$'…'`,
/// which bash, zsh and ksh read.
pub fn quoted(argument: impl AsRef<OsStr>) -> String {
    let bytes = argument.as_ref().as_encoded_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        Ok(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        Ok(_) | Err(_) => format!(
            "$'{}'",
            bytes
                .utf8_chunks()
                .map(|chunk| escaped(chunk.valid()) + &octal(chunk.invalid()))
                .collect::<String>()
        ),
    }
}

/// Means itself to every shell, wherever it stands.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "/._-+:@%,".contains(character)
}

fn escaped(text: &str) -> String {
    let characters = text.chars().map(|character| match character {
        '\'' | '\\' => format!("\\{character}"),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        other if other.is_control() => {
            let mut buffer = [0; 4];
            octal(other.encode_utf8(&mut buffer).as_bytes())
        }
        other => other.to_string(),
    });
    characters.collect()
}

/// Always three digits: a digit behind them is not theirs.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}\\{byte:03o}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::process::Command;

    use super::*;

    #[test]
    fn plain_arguments_stay_readable() {
        for plain in ["/srv/filesys-data", "http://127.0.0.1:9000", "filesys_1.txt", "-x"] {
            assert_eq!(quoted(plain), plain);
        }
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b"), "'a b'");
    }

    #[test]
    fn a_shell_reads_every_argument_back() {
        let texts = [
            "",
            "it's",
            "''",
            "a b",
            "$HOME",
            "`id`",
            "$(id)",
            "a\\b",
            "a\\",
            "\"q\"",
            "!x",
            "*",
            "~",
            "a;b",
            "a|b&c",
            "#x",
            "-x",
            "--",
            "日本 données",
            "a\u{a0}b",
            "a=b",
            "{a,b}",
            "[a]",
            "<>",
            "(x)",
        ];
        let controls: [&[u8]; 8] =
            [b"a\nb", b"\n", b"a\tb'\\", b"\x1b[31mred", b"\x7f7", b"\xff\xfe", b"a\xc3", b"\x011'\n"];
        for text in texts {
            assert_eq!(read_back("sh", &quoted(text)), text.as_bytes(), "{text}");
        }
        for bytes in texts.iter().map(|text| text.as_bytes()).chain(controls) {
            assert_eq!(read_back("bash", &quoted(OsStr::from_bytes(bytes))), bytes, "{bytes:?}");
        }
    }

    fn read_back(shell: &str, word: &str) -> Vec<u8> {
        let output = Command::new(shell).args(["-c", &format!("printf '%s.' {word}")]).output().unwrap();
        let mut bytes = output.stdout;
        assert_eq!(bytes.pop(), Some(b'.'), "{word}");
        std::ffi::OsString::from_vec(bytes).into_vec()
    }
}
