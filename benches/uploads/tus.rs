//! Client of the tus protocol: one upload in one PATCH.

use http::StatusCode;

use super::Outcome;
use super::client::{Answer, Connection, target};
use super::content::Content;

const VERSION: (&str, &str) = ("tus-resumable", "1.0.0");

/// Uploads one file to an endpoint of `host`, such as `/uploads`. Returns the answer to its last byte.
pub async fn upload(connection: &mut Connection, endpoint: &str, size: usize) -> Outcome<Answer> {
    let length = size.to_string();
    // "bench.bin"
    let headers = [VERSION, ("upload-length", &length), ("upload-metadata", "filename YmVuY2guYmlu")];
    let created = connection.send(("POST", endpoint), &headers, Content::EMPTY, StatusCode::CREATED).await?;
    let upload = target(created.header("location")?);
    let headers = [VERSION, ("upload-offset", "0"), ("content-type", "application/offset+octet-stream")];
    let body = Content::of_size(size);
    let answer = connection.send(("PATCH", &upload), &headers, body, StatusCode::NO_CONTENT).await?;
    if answer.header("upload-offset")? != length {
        return Err(format!("the offset after {size} bytes is {}", answer.header("upload-offset")?).into());
    }
    Ok(answer)
}
