//! Uploads in parts: starting and aborting them.

use serde::Deserialize;

use super::signed::Ask;
use super::{Storage, StorageError, limits};

#[derive(Deserialize)]
#[serde(rename = "InitiateMultipartUploadResult", rename_all = "PascalCase")]
struct Initiated {
    upload_id: String,
}

impl Storage {
    /// Starts an upload in parts and aborts it: `Ok` when the store knows such uploads and lets us make them.
    pub async fn try_multipart(&self, key: &str) -> Result<(), StorageError> {
        let answer = self.client.send(Ask::start_upload(key, "application/octet-stream")).await?;
        let text = tokio::time::timeout(limits::REQUEST, answer.text()).await;
        let text = text.map_err(|_| StorageError::TimedOut)??;
        let started: Initiated =
            quick_xml::de::from_str(&text).map_err(|error| StorageError::Other(error.to_string()))?;
        self.client.send(Ask::abort_upload(key, &started.upload_id)).await?;
        Ok(())
    }
}
