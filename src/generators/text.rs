//! Plain text: the source system's banner, title, description and time.

use bytes::Bytes;

use crate::domain::messages::file_create::CreateFile;

pub(super) fn generate(request: &CreateFile) -> Bytes {
    const RULE: &str = "===================";
    Bytes::from(format!(
        "{RULE}\nGENERATED FILE\n{RULE}\nTitle: {}\nDescription: {}\nGenerated at: {}\n",
        request.title,
        request.description.as_deref().unwrap_or_default(),
        request.timestamp,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_contracts_and_depends_on_the_request_alone() {
        let request = CreateFile::read(Some(
            br#"{"fileId":1,"title":"A","description":"B","timestamp":"2026-01-03T00:00:00Z"}"#,
        ))
        .unwrap();
        let expected = "===================\nGENERATED FILE\n===================\nTitle: A\nDescription: B\nGenerated at: 2026-01-03T00:00:00.000Z\n";
        assert_eq!(generate(&request), expected);
    }
}
