//! Names of uploaded files: any Unicode that people write, without what a path, a file system or a reader could misunderstand.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::domain::text::{self, ZERO_WIDTH_JOINER};

/// Maximum length of a name, in characters.
pub const FILE_NAME_MAX_CHARS: usize = 255;

/// Maximum length of what counts as an extension, in characters.
const EXTENSION_MAX_CHARS: usize = 32;

/// Name of a file whose own name has nothing that can be kept.
const NAMELESS: &str = "file";

/// Clean name of a file, without a path. It has 1 to 255 characters, of which at least one is visible.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct FileName(String);

impl FileName {
    /// Makes a name from what a client calls the file. Removes the path, control characters, characters that are not drawn,
    /// white space at the ends and dots at the end; normalizes the rest (NFC). Names of Windows' devices get a `_` in front,
    /// long names are cut before their extension, and without anything left the name is `file`.
    pub fn clean(raw: &str) -> Self {
        let drawn = drawn(&text::normalized(raw));
        let name = text::normalized(&drawn);
        let name = trimmed(without_path(&name));
        let name = shortened(&escaped(name));
        // A cut can leave the name of a device.
        let name = escaped(&name);
        Self(if text::has_visible(&name) { name } else { NAMELESS.to_owned() })
    }

    /// Takes a name that was cleaned before it was stored.
    pub const fn from_stored(name: String) -> Self {
        Self(name)
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what follows the last dot, as it is written: at most 32 alphanumeric characters. A dot at the beginning hides a
    /// file and starts no extension.
    pub fn extension(&self) -> Option<&str> {
        Some(split(&self.0).1).filter(|extension| !extension.is_empty())
    }

    /// Returns the name without its extension and the dot before it.
    pub fn stem(&self) -> &str {
        split(&self.0).0
    }
}

impl From<String> for FileName {
    fn from(raw: String) -> Self {
        Self::clean(&raw)
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl AsRef<str> for FileName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Splits a name at the dot before its extension, which is empty where there is none.
pub fn split(name: &str) -> (&str, &str) {
    let Some((stem, extension)) = name.rsplit_once('.') else { return (name, "") };
    let is_word = extension.chars().all(|c| c.is_alphanumeric() || "_-+~".contains(c));
    let chars = extension.chars().count();
    if !stem.is_empty() && is_word && (1..=EXTENSION_MAX_CHARS).contains(&chars) {
        (stem, extension)
    } else {
        (name, "")
    }
}

/// Tells whether Windows reserves the name for a device, whatever its extension.
pub fn is_device_name(name: &str) -> bool {
    let base = name.split('.').next().unwrap_or_default().trim_end();
    let is_device = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
        .iter()
        .any(|device| base.eq_ignore_ascii_case(device));
    let is_digit = |rest: &str| {
        let mut digits = rest.chars();
        digits.next().is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c)) && digits.next().is_none()
    };
    let is_port = base.split_at_checked(3).is_some_and(|(port, rest)| {
        (port.eq_ignore_ascii_case("COM") || port.eq_ignore_ascii_case("LPT")) && is_digit(rest)
    });
    is_device || is_port
}

/// Removes characters that are not drawn: a direction mark lets `exe.txt` be read where the name is `txt.exe`, and names that
/// differ in invisible characters alone look the same.
fn drawn(name: &str) -> String {
    let mut kept = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\u{2028}' | '\u{2029}' => kept.push(' '),
            REGIONAL_FLAG => {
                let tags = &rest[..tag_sequence(rest)];
                kept.push(c);
                kept.push_str(tags);
                rest = &rest[tags.len()..];
            }
            c if is_drawn(c) || has_effect(c, &kept, rest) => kept.push(c),
            _ => {}
        }
    }
    kept
}

fn is_drawn(c: char) -> bool {
    // The empty pattern is the space of Braille.
    let is_blank =
        text::is_blank(c) && c != BRAILLE_SPACE || is_variation_selector(c) || c == GRAPHEME_JOINER;
    !is_blank && !c.is_control() && !text::is_noncharacter(c) && !text::is_format(c)
}

const BRAILLE_SPACE: char = '\u{2800}';
const GRAPHEME_JOINER: char = '\u{34f}';
/// Black flag, which becomes a region's by the tags behind it.
const REGIONAL_FLAG: char = '\u{1f3f4}';
const EMOJI_STYLE: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';
const CANCEL_TAG: char = '\u{e007f}';
/// Maximum number of tags in a flag: the code of a region has six.
const MAX_TAGS: usize = 8;

/// Choose how the character before is drawn: those of Mongolian, of symbols and emoji, of ideographs.
const fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Tells whether an invisible character changes how its neighbours are drawn, as in emoji, Persian and Indic words.
fn has_effect(c: char, before: &str, rest: &str) -> bool {
    let Some(previous) = before.chars().next_back() else { return false };
    let next = rest.chars().next();
    match c {
        ZERO_WIDTH_JOINER => {
            is_joining(previous) || is_part_of_emoji(previous) && next.is_some_and(is_symbol)
        }
        ZERO_WIDTH_NON_JOINER => is_joining(previous) && next.is_some_and(is_joining),
        EMOJI_STYLE if matches!(previous, '0'..='9' | '#' | '*') => next == Some(KEYCAP),
        c if is_variation_selector(c) && (previous.is_ascii() || is_space(previous)) => false,
        c if is_variation_selector(c) => {
            matches!(
                previous.general_category_group(),
                GeneralCategoryGroup::Letter
                    | GeneralCategoryGroup::Number
                    | GeneralCategoryGroup::Punctuation
                    | GeneralCategoryGroup::Symbol
            )
        }
        _ => false,
    }
}

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';

fn is_symbol(c: char) -> bool {
    !c.is_ascii() && !is_space(c) && c.general_category_group() == GeneralCategoryGroup::Symbol
}

fn is_part_of_emoji(c: char) -> bool {
    is_symbol(c) || c == EMOJI_STYLE || c == CANCEL_TAG
}

/// Tells whether the character is of a script whose characters take another shape beside a joiner: Arabic and its relatives,
/// those of India and its neighbours, Mongolian.
const fn is_joining(c: char) -> bool {
    matches!(
        c,
        '\u{620}'..='\u{109f}'
            | '\u{1780}'..='\u{18af}'
            | '\u{1900}'..='\u{1cff}'
            | '\u{a800}'..='\u{abff}'
            | '\u{fb50}'..='\u{fdcf}'
            | '\u{fdf0}'..='\u{fdff}'
            | '\u{fe70}'..='\u{fefe}'
            | '\u{10a00}'..='\u{10fff}'
            | '\u{11000}'..='\u{11fff}'
            | '\u{1e900}'..='\u{1e95f}'
    ) && !is_variation_selector(c)
}

/// Length of the tags at the beginning of `rest` that spell a region, in bytes; 0 when they don't end as they have to, since
/// tags alone are an invisible text.
fn tag_sequence(rest: &str) -> usize {
    let end = rest.char_indices().take(MAX_TAGS).find(|(_, c)| *c == CANCEL_TAG);
    let Some((end, _)) = end.filter(|(end, _)| *end > 0) else { return 0 };
    let spells_region = rest[..end].chars().all(text::is_tag);
    if spells_region { end + CANCEL_TAG.len_utf8() } else { 0 }
}

/// Returns what follows the last separator that has something behind it, without a drive of Windows.
fn without_path(name: &str) -> &str {
    let mut parts = name.rsplit(['/', '\\']);
    let mut part = parts.find(|part| !trimmed(part).is_empty()).unwrap_or_default();
    loop {
        part = part.trim_start_matches(is_space);
        match part.as_bytes() {
            [drive, b':', ..] if drive.is_ascii_alphabetic() => part = &part[2..],
            _ => return part,
        }
    }
}

/// Removes dots at the end, too: Windows drops them.
fn trimmed(name: &str) -> &str {
    name.trim_start_matches(is_space).trim_end_matches(|c| is_space(c) || c == '.')
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c == BRAILLE_SPACE
}

fn escaped(name: &str) -> String {
    if is_device_name(name) { format!("_{name}") } else { name.to_owned() }
}

/// Cuts a name that is too long before its extension.
fn shortened(name: &str) -> String {
    if name.chars().count() <= FILE_NAME_MAX_CHARS {
        return name.to_owned();
    }
    let name = FileName(name.to_owned());
    let extension = name.extension().map(|extension| format!(".{extension}")).unwrap_or_default();
    let stem = text::cut(name.stem(), FILE_NAME_MAX_CHARS - extension.chars().count());
    format!("{}{extension}", trimmed(stem))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(raw: &str) -> String {
        FileName::clean(raw).into()
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for name in [
            "Report 7.pdf",
            "Größe.txt",
            "日本語.docx",
            "😀.png",
            "👨\u{200d}👩\u{200d}👧.jpg",
            "👩🏽\u{200d}🚀.jpg",
            "🙂\u{200d}↔\u{fe0f}.png",
            "🏳\u{fe0f}\u{200d}🌈.svg",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}.png",
            "1\u{fe0f}\u{20e3}.txt",
            "☃\u{fe0f} snow.txt",
            "葛\u{e0100}城.txt",
            "می\u{200c}خواهم.txt",
            "क\u{94d}\u{200d}ष.txt",
            "ന\u{d4d}\u{200d}.txt",
            "ශ\u{dca}\u{200d}රී.pdf",
            "تقرير.pdf",
            "דוח.pdf",
            "⠓⠊⠀⠽⠕⠥.brl",
            ".gitignore",
            "Makefile",
            "archive.tar.gz",
            "it's \"quoted\" & 100% <b>.txt",
            "a;b,c=d.csv",
            "-rf",
            "~root",
            "console.log",
            "com10.txt",
            "Con artist.txt",
            "ab: c.txt",
            "12:30.txt",
            "\u{fffd}.txt",
            "\u{e000}.txt",
        ] {
            assert_eq!(clean(name), name);
        }
    }

    #[test]
    fn nothing_is_left_that_could_be_misunderstood() {
        for (raw, name) in [
            ("../../x", "x"),
            ("../../etc/passwd", "passwd"),
            ("/etc/passwd", "passwd"),
            (r"C:\Users\me\boot.ini", "boot.ini"),
            ("C:boot.ini", "boot.ini"),
            ("C:D: E:boot.ini", "boot.ini"),
            ("c:\u{200b}d:x", "x"),
            (r"\\host\share\a.txt", "a.txt"),
            ("a/b\\c/d.txt", "d.txt"),
            ("folder/", "folder"),
            ("folder/ . /", "folder"),
            ("..", "file"),
            ("../..", "file"),
            ("/", "file"),
            ("", "file"),
            (" ", "file"),
            ("...", "file"),
            (". . .", "file"),
            ("C:", "file"),
            ("\u{200b}", "file"),
            ("\u{301}", "file"),
            ("\u{2800}", "file"),
            ("\0\r\n", "file"),
            ("a\0b\r\nc\td.txt", "abcd.txt"),
            ("a\u{85}b\u{7f}.txt", "ab.txt"),
            ("a\u{2028}b.txt", "a b.txt"),
            ("invoice\u{202e}txt.exe", "invoicetxt.exe"),
            ("\u{2066}a\u{2069}\u{200e}\u{200f}\u{61c}.txt", "a.txt"),
            ("\u{202a}\u{202b}\u{202c}\u{202d}a\u{2067}\u{2068}.txt", "a.txt"),
            ("soft\u{ad}hyphen\u{2060}\u{feff}.txt", "softhyphen.txt"),
            ("a\u{200d}b\u{200c}c.txt", "abc.txt"),
            ("é\u{200d}.txt", "é.txt"),
            ("😀\u{200d}.png", "😀.png"),
            ("😀\u{200d}\u{200d}😀.png", "😀\u{200d}😀.png"),
            ("م\u{200c}.txt", "م.txt"),
            ("a\u{fe0f}.txt", "a.txt"),
            ("1\u{fe0f}.txt", "1.txt"),
            ("⠀\u{e0100}a", "a"),
            ("/\u{fe0f}\u{20e3}a", "\u{20e3}a"),
            ("☃\u{fe0f}\u{fe0f}.txt", "☃\u{fe0f}.txt"),
            ("\u{212a}\u{fe0f}.txt", "K.txt"),
            ("a\u{34f}\u{115f}\u{3164}\u{ffa0}\u{fffc}.txt", "a.txt"),
            ("a\u{e0041}\u{e0042}.txt", "a.txt"),
            ("🏴\u{e0067}\u{e0062}.png", "🏴.png"),
            ("🏴\u{e007f}.png", "🏴.png"),
            ("\u{fdd0}a\u{ffff}\u{1ffff}.txt", "a.txt"),
            ("e\u{301}.txt", "é.txt"),
            ("e\u{200b}\u{301}.txt", "é.txt"),
            (" a.txt ", "a.txt"),
            ("\u{3000}\u{a0}a.txt\u{feff}\u{2800}", "a.txt"),
            ("a. . .", "a"),
            ("con", "_con"),
            ("con.txt", "_con.txt"),
            ("NUL.tar.gz", "_NUL.tar.gz"),
            ("Com1", "_Com1"),
            ("LPT³.doc", "_LPT³.doc"),
            ("aux .h", "_aux .h"),
            ("c\u{200b}on.txt", "_con.txt"),
            ("x/CONOUT$", "_CONOUT$"),
        ] {
            assert_eq!(clean(raw), name, "{raw:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_before_its_extension() {
        for (raw, name) in [
            ("😀".repeat(255), "😀".repeat(255)),
            ("😀".repeat(256), "😀".repeat(255)),
            ("a".repeat(300) + ".txt", "a".repeat(251) + ".txt"),
            ("q\u{301}".repeat(200) + ".txt", "q\u{301}".repeat(125) + ".txt"),
            ("👨\u{200d}👩\u{200d}👧".repeat(60), "👨\u{200d}👩\u{200d}👧".repeat(51)),
            ("a".repeat(300) + "." + &"b".repeat(33), "a".repeat(255)),
            ("a.".to_owned() + &"b".repeat(300), "a.".to_owned() + &"b".repeat(253)),
            ("a".repeat(250) + " . . . . . . . . .txt", "a".repeat(250) + ".txt"),
            ("nul".to_owned() + &" ".repeat(300) + "x.txt", "_nul.txt".to_owned()),
            ("con.".to_owned() + &"é".repeat(300), "_con.".to_owned() + &"é".repeat(250)),
        ] {
            assert_eq!(clean(&raw), name);
        }
    }

    #[test]
    fn an_extension_is_the_word_behind_the_last_dot() {
        for (name, stem, extension) in [
            ("a.txt", "a", Some("txt")),
            ("a.tar.GZ", "a.tar", Some("GZ")),
            ("a.c++", "a", Some("c++")),
            ("файл.текст", "файл", Some("текст")),
            (".gitignore", ".gitignore", None),
            (".config.json", ".config", Some("json")),
            ("Makefile", "Makefile", None),
            ("Mr. Smith", "Mr. Smith", None),
            ("a.😀", "a.😀", None),
        ] {
            let name = FileName::clean(name);
            assert_eq!((name.stem(), name.extension()), (stem, extension), "{name}");
        }
    }

    #[test]
    fn a_name_in_json_is_a_text() {
        let name: FileName = serde_json::from_str(r#""../a.txt""#).unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), r#""a.txt""#);
    }

    /// Characters that the rules speak of, and any others.
    fn nasty_text() -> impl Strategy<Value = String> {
        let special = proptest::sample::select(
            "./\\: \t\0\u{85}aC1é\u{301}\u{34f}\u{200b}\u{200c}\u{200d}\u{200e}\u{202e}\u{2066}\u{feff}\u{fe0f}\u{20e3}\u{e0067}\
             \u{e007f}\u{e0100}\u{1f3f4}\u{1f3fd}\u{1f1e6}😀♂म\u{94d}م\u{622}\u{627}\u{653}\u{1100}\u{1161}\u{11a8}\u{3164}\u{2800}\
             \u{fdd0}\u{212a}\u{37e}\u{2028}"
                .chars()
                .collect::<Vec<_>>(),
        );
        let piece = prop_oneof![
            8 => special.prop_map(String::from),
            1 => any::<char>().prop_map(String::from),
            1 => proptest::sample::select(vec!["con", "nul", "lpt1", ".txt", "C:"]).prop_map(String::from),
        ];
        (proptest::collection::vec(piece, 0..40), prop_oneof![3 => Just(1_usize), 1 => 1..40_usize])
            .prop_map(|(pieces, times)| pieces.concat().repeat(times))
    }

    proptest! {
        #[test]
        fn a_name_keeps_every_rule(raw in nasty_text()) {
            let name = clean(&raw);
            prop_assert!((1..=FILE_NAME_MAX_CHARS).contains(&name.chars().count()), "{name:?}");
            prop_assert!(text::has_visible(&name) && !is_device_name(&name), "{name:?}");
            prop_assert!(!name.contains(['/', '\\']) && !name.contains(char::is_control), "{name:?}");
            prop_assert!(!name.ends_with('.') && name.trim() == name, "{name:?}");
            let is_bidi = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
            prop_assert!(!name.contains(is_bidi) && !name.contains(text::is_noncharacter), "{name:?}");
            prop_assert_eq!(text::normalized(&name), name.as_str());
        }

        #[test]
        fn a_clean_name_stays_the_same(raw in nasty_text()) {
            let name = clean(&raw);
            prop_assert_eq!(clean(&name), name);
        }

        #[test]
        fn a_cut_keeps_the_extension(stem in "[a-zé😀 ]{0,400}", extension in "[a-z0-9]{1,32}") {
            let name = FileName::clean(&format!("x{stem}y.{extension}"));
            prop_assert_eq!(name.extension(), Some(extension.as_str()));
        }
    }
}
