//! Records of files, their histories, and the counts by status.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{Client, Result, answer};
use crate::domain::FileId;

/// Record of a file: what this client needs of it, and the whole JSON, which may have more.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    pub id: FileId,
    /// Name of the status; a newer server may have others.
    pub status: String,
    #[serde(default)]
    pub file_name: Option<String>,
    pub s3_location: Option<String>,
    pub content_type: String,
    pub size: Option<u64>,
    /// Digest in hexadecimal digits.
    pub sha256: Option<String>,
    pub error: Option<String>,
    #[serde(skip)]
    pub json: Value,
}

/// Entry of a history.
#[derive(Debug, Clone, Deserialize)]
pub struct Transition {
    pub at: String,
    pub to: String,
    pub error: Option<String>,
}

impl Client {
    /// Reads the record of a file.
    pub async fn file(&self, id: FileId) -> Result<Record> {
        let answer = self.send(self.request(Method::GET, &format!("files/{id}"))).await?;
        let json: Value = answer::json(answer).await?;
        answer::parsed::<Record>(json.clone()).map(|record| Record { json, ..record })
    }

    /// Reads the history of a file, oldest transition first.
    pub async fn timeline(&self, id: FileId) -> Result<Vec<Transition>> {
        answer::json(self.send(self.request(Method::GET, &format!("files/{id}/timeline"))).await?).await
    }

    /// Reads the number of files in each status, by the names of the statuses.
    pub async fn counts(&self) -> Result<serde_json::Map<String, Value>> {
        answer::json(self.send(self.request(Method::GET, "files/stats")).await?).await
    }
}
