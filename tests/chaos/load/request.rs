//! Request number n and the follow-up of its file: a function of the seed and n alone.

use filesys::faults::armed::PANIC_MARK;
use serde_json::json;

use super::dice::Dice;

/// A POST of a file.
#[derive(Debug, Clone)]
pub struct Request {
    /// Number of the request in the journal.
    pub number: u64,
    /// `Idempotency-Key`. Without one it is sent once; with one until there is a clear answer.
    pub key: Option<String>,
    /// Unlike that of any other request, also in bad ones.
    pub title: String,
    pub description: Option<String>,
    pub kind: Kind,
    pub later: Option<Later>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Good,
    Bad(Bad),
}

/// Reason for which it must be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    TitleTooLong,
    TitleWithControlCharacter,
    DescriptionTooLong,
    DescriptionWithNul,
    DescriptionIsNumber,
    UnknownFormat,
    CutInHalf,
    /// The key of this number's good request, which was accepted.
    KeyOfAnother,
}

/// Follow-up of an accepted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    Cancel,
    CancelThenRetry,
    /// Whatever its status is by then.
    Delete,
    DeleteWhenCompleted,
    /// Once it is terminal.
    RetryIfFailed,
    /// The same request with the same key once more.
    AskAgain,
    /// Another request with the same key.
    ReuseKey,
}

/// Numbers of requests that reuse the key of another begin here.
const REUSE: u64 = 1 << 40;

/// Character in two forms: titles are sent decomposed and stored composed (NFC).
pub const COMPOSED: &str = "\u{e9}";
pub const DECOMPOSED: &str = "e\u{301}";
const WORDS: [&str; 24] = [
    "report",
    "Invoice",
    "größe",
    "данные",
    "文件",
    "ملف",
    "𝒳𝓎",
    "👩‍🚀",
    "naïve",
    "İstanbul",
    "a/b",
    "..",
    "<b>",
    "\"quoted\"",
    "it's",
    "100%",
    "C:\\x",
    COMPOSED,
    "\u{200b}",
    "tail.",
    "--",
    "_",
    "?q=1&r",
    "#1",
];

impl Request {
    pub fn of(seed: u64, number: u64) -> Self {
        let mut dice = Dice::new(seed, number);
        let name = format!("chaos {seed:x}-{number}");
        let mut title = name.clone();
        for _ in 0..dice.below(6) {
            let word = dice.pick(&WORDS);
            title.push(' ');
            title.push_str(word);
        }
        if Dice::new(seed, number ^ (1 << 53)).chance(5) {
            title.push(' ');
            title.push_str(PANIC_MARK);
        }
        let kind = if dice.chance(20) { Kind::Bad(*dice.pick(&Bad::BY_THEMSELVES)) } else { Kind::Good };
        let key = dice.chance(850).then(|| format!("key {name}"));
        let description = description(&mut dice);
        let later = (kind == Kind::Good).then(|| Later::of(&mut dice, key.is_some())).flatten();
        let mut request = Self { number, key, title, description, kind, later };
        request.spoil();
        request
    }

    /// Another request with the key of this one.
    pub fn with_its_key(&self) -> Self {
        Self {
            number: self.number + REUSE,
            title: format!("other {}", self.title.chars().take(200).collect::<String>()),
            kind: Kind::Bad(Bad::KeyOfAnother),
            later: None,
            ..self.clone()
        }
    }

    fn spoil(&mut self) {
        let Kind::Bad(bad) = self.kind else { return };
        match bad {
            Bad::TitleTooLong => {
                let missing = 256_usize.saturating_sub(self.title.chars().count());
                self.title.extend(std::iter::repeat_n('x', missing));
            }
            Bad::TitleWithControlCharacter => self.title.push_str(" \u{7} end"),
            Bad::DescriptionTooLong => self.description = Some("y".repeat(64 * 1024 + 1)),
            Bad::DescriptionWithNul => self.description = Some("a\0b".to_owned()),
            Bad::DescriptionIsNumber | Bad::UnknownFormat | Bad::CutInHalf | Bad::KeyOfAnother => {}
        }
    }

    pub fn is_good(&self) -> bool {
        self.kind == Kind::Good
    }

    pub fn body(&self) -> String {
        let (title, description) = (&self.title.replace(COMPOSED, DECOMPOSED), &self.description);
        match self.kind {
            Kind::Bad(Bad::UnknownFormat) => json!({"title": title, "format": "exe"}).to_string(),
            Kind::Bad(Bad::DescriptionIsNumber) => json!({"title": title, "description": 7}).to_string(),
            Kind::Bad(Bad::CutInHalf) => {
                let mut body = json!({"title": title, "description": description}).to_string();
                body.pop();
                body
            }
            Kind::Good | Kind::Bad(_) if description.is_none() => json!({"title": title}).to_string(),
            Kind::Good | Kind::Bad(_) => json!({"title": title, "description": description}).to_string(),
        }
    }
}

impl Bad {
    const BY_THEMSELVES: [Self; 7] = [
        Self::TitleTooLong,
        Self::TitleWithControlCharacter,
        Self::DescriptionTooLong,
        Self::DescriptionWithNul,
        Self::DescriptionIsNumber,
        Self::UnknownFormat,
        Self::CutInHalf,
    ];
}

impl Later {
    fn of(dice: &mut Dice, has_key: bool) -> Option<Self> {
        let later = match dice.below(1000) {
            0..20 => Self::Cancel,
            20..30 => Self::CancelThenRetry,
            30..50 => Self::DeleteWhenCompleted,
            50..55 => Self::Delete,
            55..65 => Self::RetryIfFailed,
            65..75 if has_key => Self::AskAgain,
            75..80 if has_key => Self::ReuseKey,
            _ => return None,
        };
        Some(later)
    }
}

fn description(dice: &mut Dice) -> Option<String> {
    let bytes = match dice.below(1000) {
        0..150 => return None,
        150..180 => return Some(String::new()),
        180..800 => dice.between(1, 200),
        800..940 => dice.between(200, 2_000),
        940..990 => dice.between(7_900, 8_300),
        990..998 => dice.between(16_000, 65_000),
        _ => 64 * 1024,
    };
    Some(text(dice, bytes))
}

/// Exactly so many bytes.
fn text(dice: &mut Dice, bytes: usize) -> String {
    const ENDS: [&str; 6] = [" ", "\n", "\r\n", "\t", ", ", "\u{1}"];
    let mut text = String::with_capacity(bytes);
    loop {
        let (word, end) = (*dice.pick(&WORDS), *dice.pick(&ENDS));
        if text.len() + word.len() + end.len() > bytes {
            break;
        }
        text.push_str(word);
        text.push_str(end);
    }
    text.extend(std::iter::repeat_n('.', bytes - text.len()));
    text
}
