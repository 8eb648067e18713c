//! Parsing of the store's XML documents.

use quick_xml::events::Event;
use serde::de::DeserializeOwned;

/// Parses a document. Fails when it has another root, is cut short, or is no XML at all.
pub(super) fn read<T: DeserializeOwned>(root: &str, body: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check(root, text)?;
    quick_xml::de::from_str(text).map_err(|error| error.to_string())
}

/// Checks that `text` is one whole element named `root`, whatever its namespace. serde checks neither.
fn check(root: &str, text: &str) -> Result<(), String> {
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut depth, mut has_root) = (0_usize, false);
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        if let Event::Start(element) | Event::Empty(element) = &event {
            if depth == 0 && (has_root || element.local_name().as_ref() != root.as_bytes()) {
                let found = String::from_utf8_lossy(element.local_name().into_inner()).into_owned();
                return Err(format!("<{found}> where <{root}> was expected"));
            }
            has_root = true;
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Eof if has_root && depth == 0 => return Ok(()),
            Event::Eof => return Err(format!("no whole <{root}>")),
            Event::DocType(_) => return Err("a document type where none is expected".to_owned()),
            Event::Text(text) if depth == 0 && !text.trim_ascii().is_empty() => {
                return Err(format!("text where <{root}> was expected"));
            }
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Answer {
        name: String,
    }

    #[test]
    fn only_a_whole_document_with_the_right_root_is_read() {
        for good in [
            "<R><Name>n</Name></R>",
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- c --><R xmlns=\"u\"><Name>n</Name><More/></R>\n",
            "<s3:R xmlns:s3=\"u\"><Name>n</Name></s3:R>",
        ] {
            assert_eq!(read::<Answer>("R", good.as_bytes()).unwrap().name, "n", "{good}");
        }
        assert_eq!(read::<Answer>("R", b"<R/>").unwrap().name, "");
        for bad in [
            "",
            " ",
            "<?xml version=\"1.0\"?>",
            "{}",
            "R",
            "<html><R/></html>",
            "<html><body>",
            "<Error><Code>SlowDown</Code></Error>",
            "<R><Name>n</Name>",
            "<R><Name>n</Na",
            "<R><Name>n</R>",
            "<R/><R/>",
            "x<R/>",
            "<R/>x",
            "<!DOCTYPE html><R/>",
        ] {
            assert!(read::<Answer>("R", bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read::<Answer>("R", b"<R><Name>\xff</Name></R>").is_err());
    }
}
