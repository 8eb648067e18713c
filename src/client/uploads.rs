//! Resumable uploads by tus 1.0.0.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, RequestBuilder, Response};

use super::{Client, ClientError, Result, answer};
use crate::domain::FileId;

const TUS_RESUMABLE: &str = "tus-resumable";
const UPLOAD_LENGTH: &str = "upload-length";
const UPLOAD_METADATA: &str = "upload-metadata";
const UPLOAD_OFFSET: &str = "upload-offset";
const X_FILE_ID: &str = "x-file-id";

/// Time in which the server takes at least one piece of the bytes, or answers when it has all of them.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Fields that go with a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    pub file_name: String,
    /// Media type, where it is known.
    pub claimed_type: Option<String>,
    pub title: Option<String>,
    pub tags: Vec<String>,
    pub folder: Option<String>,
    pub uploaded_by: Option<String>,
}

impl Fields {
    /// Returns the value of `Upload-Metadata`.
    pub fn to_metadata(&self) -> String {
        let tags = (!self.tags.is_empty()).then(|| serde_json::Value::from(self.tags.clone()).to_string());
        let pairs = [
            ("filename", Some(&self.file_name)),
            ("filetype", self.claimed_type.as_ref()),
            ("title", self.title.as_ref()),
            ("tags", tags.as_ref()),
            ("folder", self.folder.as_ref()),
            ("uploaded_by", self.uploaded_by.as_ref()),
        ];
        let pairs = pairs.into_iter().filter_map(|(key, text)| Some((key, text?)));
        let pairs = pairs.map(|(key, text)| format!("{key} {}", BASE64_STANDARD.encode(text)));
        pairs.collect::<Vec<_>>().join(",")
    }
}

/// State of an upload on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// This many bytes are stored, and more are expected.
    Part(u64),
    /// All of them, as this file.
    File(FileId),
}

impl Client {
    /// Returns the address of an upload.
    pub fn upload_url(&self, id: FileId) -> String {
        self.server().join(&format!("uploads/{id}")).into()
    }

    /// Returns the upload that an address names.
    pub fn upload_of_url(url: &str) -> Option<FileId> {
        url.rsplit_once("uploads/")?.1.parse().ok()
    }

    /// Starts an upload of `length` bytes. An empty file is stored by this.
    pub async fn create_upload(&self, length: u64, metadata: &str) -> Result<(FileId, Stored)> {
        let request = self.tus(Method::POST, "uploads").header(UPLOAD_LENGTH, length);
        let answer = self.send(request.header(UPLOAD_METADATA, metadata)).await?;
        let location = header(&answer, LOCATION.as_str()).and_then(Self::upload_of_url);
        let id = location.ok_or_else(|| no_upload("it names no upload"))?;
        Ok((id, stored(&answer)?))
    }

    /// Asks how much of an upload is stored. An upload of another length than this counts as gone.
    pub async fn ask_upload(&self, id: FileId, length: u64) -> Result<Stored> {
        let answer = self.send(self.tus(Method::HEAD, &format!("uploads/{id}"))).await?;
        if header(&answer, UPLOAD_LENGTH).is_some_and(|text| text != length.to_string()) {
            return Err(ClientError::Gone("the server has an upload of another length".to_owned()));
        }
        stored(&answer)
    }

    /// Appends `length` bytes behind the first `offset` ones. It takes as long as bytes are moving.
    pub async fn append_upload(
        &self,
        id: FileId,
        offset: u64,
        length: u64,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Stored> {
        let taken = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&taken);
        let bytes = bytes.inspect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let request = self
            .tus(Method::PATCH, &format!("uploads/{id}"))
            .header(UPLOAD_OFFSET, offset)
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .header(CONTENT_LENGTH, length)
            .body(Body::wrap_stream(bytes));
        let mut sending = pin!(request.send());
        let mut before = 0;
        let answer = loop {
            match tokio::time::timeout(STALL_TIMEOUT, &mut sending).await {
                Ok(answer) => break answer.map_err(|error| self.lost(&error))?,
                Err(_) => {
                    let now = taken.load(Ordering::Relaxed);
                    if now == before {
                        let server = self.server();
                        let reason = format!("the server at {server} takes no bytes and does not answer");
                        return Err(ClientError::unavailable(reason));
                    }
                    before = now;
                }
            }
        };
        let answer = tokio::time::timeout(STALL_TIMEOUT, answer::successful(answer)).await;
        stored(&answer.map_err(|_| ClientError::unavailable("the server's answer was cut off".to_owned()))??)
    }

    fn tus(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header(TUS_RESUMABLE, "1.0.0")
    }
}

fn stored(answer: &Response) -> Result<Stored> {
    if let Some(id) = header(answer, X_FILE_ID) {
        return id.parse().map(Stored::File).map_err(|_| no_upload("its file has no id"));
    }
    let offset = header(answer, UPLOAD_OFFSET).and_then(|text| text.parse().ok());
    offset.map(Stored::Part).ok_or_else(|| no_upload("it has no offset"))
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

fn no_upload(why: &str) -> ClientError {
    ClientError::Refused(format!("the answer is not one of filesys: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::uploads::{GivenFields, TusMetadata};

    #[test]
    fn the_server_reads_the_fields_as_they_were_given() {
        let fields = Fields {
            file_name: "größer, \"1\".txt".to_owned(),
            claimed_type: Some("text/plain".to_owned()),
            title: Some("A title".to_owned()),
            tags: vec!["one".to_owned(), "two \"three\"".to_owned()],
            folder: Some("a/b".to_owned()),
            uploaded_by: Some("u1".to_owned()),
        };
        let metadata = TusMetadata::parse(&fields.to_metadata()).unwrap();
        let read = GivenFields::from_metadata(&metadata).check(None, None).unwrap();
        assert_eq!(read.file_name.as_str(), fields.file_name);
        assert_eq!(read.claimed_type.unwrap().as_str(), "text/plain");
        assert_eq!((Some(read.title), read.tags), (fields.title, fields.tags));
        assert_eq!((read.folder, read.uploaded_by), (fields.folder, fields.uploaded_by));
    }

    #[test]
    fn an_upload_is_named_by_the_end_of_its_address() {
        for url in ["/uploads/7", "http://h/uploads/7", "https://h/sub/uploads/7"] {
            assert_eq!(Client::upload_of_url(url), Some(FileId(7)), "{url}");
        }
        for url in ["", "/uploads/", "/uploads/07", "/uploads/x", "/files/7", "/uploads/7/x"] {
            assert_eq!(Client::upload_of_url(url), None, "{url}");
        }
    }
}
