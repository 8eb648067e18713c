//! Format → generator: pure functions from a request to bytes, the same bytes for every attempt.

mod text;

use bytes::Bytes;

use crate::domain::messages::file_create::CreateFile;
use crate::domain::{Error, Format};

/// Makes the file's content. An error is permanent: the same request fails the same way.
pub fn generate(request: &CreateFile) -> Result<Bytes, Error> {
    match request.format {
        Format::Txt => Ok(text::generate(request)),
    }
}
