//! Texts that people write: one spelling for what looks the same (NFC), and whether there is anything to see.

use std::borrow::Cow;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Written in front of a text by programs that mark its encoding.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// Joins the characters on both of its sides into one emoji or ligature.
pub const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// Maximum number of characters that [`cut`] keeps together. Emoji of families have ten.
const MAX_CLUSTER_CHARS: usize = 64;

/// The text in normalization form C (Unicode Standard Annex #15).
pub fn normalized(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc(text) { text.into() } else { text.nfc().collect::<String>().into() }
}

/// The text in form D, as macOS names files and as older rows may have it; `None` when it is the same.
pub fn decomposed(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let decomposed: String = text.nfd().collect();
    (decomposed != text).then_some(decomposed)
}

/// The text with its accents and other combining marks removed, and compatibility characters replaced (form KD).
pub fn without_marks(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let is_mark = |c: &char| c.general_category_group() == GeneralCategoryGroup::Mark;
    text.nfkd().filter(|c| !is_mark(c)).collect::<String>().into()
}

/// The text without white space and byte order marks at its ends, normalized.
pub fn trimmed(text: &str) -> Cow<'_, str> {
    normalized(text.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK))
}

/// The longest beginning of at most `max_chars` characters that doesn't end between those that are drawn as one.
pub fn cut(text: &str, max_chars: usize) -> &str {
    let Some((limit, _)) = text.char_indices().nth(max_chars) else { return text };
    let ends = text[..limit].char_indices().rev().map(|(start, _)| start);
    let mut ends = std::iter::once(limit).chain(ends).take(MAX_CLUSTER_CHARS).take_while(|end| *end > 0);
    match ends.find(|end| !is_drawn_with(&text[*end..], &text[..*end])) {
        Some(end) => &text[..end],
        // An endless chain: what is left of it must not end with characters that need a next one.
        None => text[..limit].trim_end_matches(|c| c == ZERO_WIDTH_JOINER || is_tag(c)),
    }
}

/// Tells whether the first character of `rest` is drawn as one with the last of `before`: most of Unicode Standard Annex #29.
fn is_drawn_with(rest: &str, before: &str) -> bool {
    let (Some(next), Some(previous)) = (rest.chars().next(), before.chars().next_back()) else {
        return false;
    };
    if next.is_ascii() && previous.is_ascii() {
        return false;
    }
    let is_extended = next.general_category_group() == GeneralCategoryGroup::Mark
        || is_tag(next)
        // Joiners, tones of skin, and the vowels and final consonants of Hangul.
        || matches!(next, '\u{200c}' | '\u{200d}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{1160}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7fb}');
    let is_virama = canonical_combining_class(previous) == VIRAMA;
    let indicators = before.chars().rev().take_while(|c| is_regional_indicator(*c)).count();
    is_extended
        || previous == ZERO_WIDTH_JOINER
        || is_virama && next.is_alphabetic()
        || is_regional_indicator(next) && indicators % 2 == 1
}

/// Combining class of the marks that join two consonants of an Indic script.
const VIRAMA: u8 = 9;

/// Two of them are a flag.
const fn is_regional_indicator(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

/// Invisible characters that spell which region's flag a black flag is.
pub const fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0020}'..='\u{e007f}')
}

/// True when a reader sees at least one character.
pub fn has_visible(text: &str) -> bool {
    text.chars().any(is_visible)
}

/// Combining marks need a base character. What a font may not have yet counts as visible.
fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic();
    }
    if is_blank(c) {
        return false;
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Letter
        | GeneralCategoryGroup::Number
        | GeneralCategoryGroup::Punctuation
        | GeneralCategoryGroup::Symbol => true,
        GeneralCategoryGroup::Mark | GeneralCategoryGroup::Separator => false,
        GeneralCategoryGroup::Other => {
            let category = c.general_category();
            category == GeneralCategory::PrivateUse
                || category == GeneralCategory::Unassigned && !is_noncharacter(c)
                || is_shown_format(c)
        }
    }
}

/// Characters with a glyph that is empty, and code points that are ignored by default, whatever their category.
pub const fn is_blank(c: char) -> bool {
    matches!(
        c,
        // Hangul fillers, the blank braille pattern, the null notehead, blank hieroglyphs.
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' | '\u{1d159}' | '\u{13441}' | '\u{13442}'
            | '\u{2065}' | '\u{fff0}'..='\u{fffc}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Tells whether Unicode reserves the code point for internal use (noncharacters).
pub const fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || c as u32 & 0xfffe == 0xfffe
}

/// Format characters that are drawn all the same: signs in front of numbers.
const fn is_shown_format(c: char) -> bool {
    matches!(
        c,
        '\u{600}'
            ..='\u{605}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'
                | '\u{891}'
                | '\u{8e2}'
                | '\u{110bd}'
                | '\u{110cd}'
    )
}

/// True for characters that are never drawn and may change how others are: direction, joining, tags, soft hyphens.
pub fn is_format(c: char) -> bool {
    !c.is_ascii() && c.general_category() == GeneralCategory::Format && !is_shown_format(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_the_same_are_the_same() {
        for (written, stored) in [
            ("e\u{301}cole", "école"),
            ("\u{212b}", "Å"),
            ("\u{1100}\u{1161}\u{11a8}", "각"),
            ("a\u{323}\u{307}", "ạ\u{307}"),
            ("a\u{307}\u{323}", "ạ\u{307}"),
            ("\u{2126}", "Ω"),
            ("\u{958}", "\u{915}\u{93c}"),
            ("ﬁ ² Ⅳ ｆ", "ﬁ ² Ⅳ ｆ"),
            ("plain", "plain"),
        ] {
            assert_eq!(normalized(written), stored);
            assert_eq!(normalized(stored), stored);
        }
        assert_eq!(decomposed("école").as_deref(), Some("e\u{301}cole"));
        assert_eq!(decomposed("plain"), None);
        assert_eq!(trimmed("\u{feff} \u{3000}e\u{301}\u{feff}\n"), "é");
    }

    #[test]
    fn a_text_is_cut_between_what_is_drawn() {
        for (text, max_chars, kept) in [
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("abc", 0, ""),
            ("aq\u{301}", 2, "a"),
            ("ab👨\u{200d}👩\u{200d}👧c", 3, "ab"),
            ("ab👨\u{200d}👩\u{200d}👧c", 6, "ab"),
            ("ab👨\u{200d}👩\u{200d}👧c", 7, "ab👨\u{200d}👩\u{200d}👧"),
            ("a👍🏽", 2, "a"),
            ("a☃\u{fe0f}", 2, "a"),
            ("🇫🇷🇩🇪", 3, "🇫🇷"),
            ("🇫🇷🇩🇪", 2, "🇫🇷"),
            ("a🏴\u{e0067}\u{e0062}\u{e007f}", 3, "a"),
            ("aक\u{94d}ष", 3, "a"),
            ("a\u{1100}\u{1161}\u{11f0}", 3, "a"),
            ("日本語", 2, "日本"),
        ] {
            assert_eq!(cut(text, max_chars), kept, "{text} {max_chars}");
        }
    }

    #[test]
    fn a_chain_without_an_end_is_cut_all_the_same() {
        for (unit, kept) in [("\u{301}", 200), ("👩\u{200d}", 200), ("\u{200d}👩", 199), ("\u{e0067}", 1)]
        {
            let chain = format!("a{}", unit.repeat(300));
            assert_eq!(cut(&chain, 200).chars().count(), kept, "{unit:?}");
        }
    }

    #[test]
    fn what_can_not_be_seen_is_not_visible() {
        for text in [
            "",
            " \t\n\u{a0}\u{3000}\u{2028}",
            "\u{200b}",
            "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}",
            "\u{ad}\u{34f}\u{61c}\u{180e}",
            "\u{202e}\u{2066}\u{2069}\u{200f}",
            "\u{115f}\u{1160}\u{3164}\u{ffa0}",
            "\u{2800}\u{2800}",
            "\u{fe0f}\u{fe00}\u{e0100}",
            "\u{e0067}\u{e0062}\u{e007f}",
            "\u{301}\u{20dd}",
            "\u{17b4}\u{17b5}\u{180b}",
            "\u{fffc}\u{fff9}",
            "\u{fdd0}\u{ffff}\u{10ffff}",
            "\u{1d159}\u{1d173}\u{2061}",
        ] {
            assert!(!has_visible(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_drawn_is_visible() {
        for text in [
            "a",
            "\u{200b}a",
            "é",
            "文",
            "👨‍👩‍👧",
            "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
            "☃\u{fe0f}",
            ".",
            "²",
            "\u{fffd}",
            "\u{6dd}",
            "\u{e000}",
            "\u{3a9}",
            "½",
            "＿",
            "ـ",
            "\u{1fae9}",
        ] {
            assert!(has_visible(text), "{text:?}");
        }
    }
}
