//! The bucket itself: whether it can be used, making it, and the store's clock.

use super::client::clock;
use super::client::read_body;
use super::client::request::Request;
use super::{Storage, StorageError, limits, listing, object_keys};

impl Storage {
    /// Returns the bucket's name.
    pub fn bucket_name(&self) -> String {
        self.client.bucket_name()
    }

    /// Checks in one round trip that the store answers, that it accepts the credentials, and that the bucket exists.
    pub async fn ping(&self) -> Result<(), StorageError> {
        self.track_outage(self.list_one().await)
    }

    /// Returns by how many seconds the store's clock is ahead of this machine's; `None` when the store doesn't tell its
    /// time.
    pub async fn clock_ahead_secs(&self) -> Result<Option<i64>, StorageError> {
        let response =
            self.client.exchange(Request::get("", &[("list-type", "2"), ("max-keys", "1")])).await?;
        Ok(clock::ahead_secs(response.headers()))
    }

    /// Makes the bucket if it is missing; true when this call made it.
    pub async fn ensure_bucket(&self) -> Result<bool, StorageError> {
        let outcome = match self.list_one().await {
            Ok(()) => Ok(false),
            Err(StorageError::NoBucket(_) | StorageError::NotFound(_)) => self.make_bucket().await,
            Err(other) => Err(other),
        };
        self.track_outage(outcome)
    }

    async fn list_one(&self) -> Result<(), StorageError> {
        let query = [("list-type", "2"), ("max-keys", "1"), ("prefix", object_keys::PREFIX)];
        let response = self.client.send(Request::get("", &query)).await?;
        let status = response.status().as_u16();
        let body =
            tokio::time::timeout(limits::REQUEST_TIMEOUT, read_body(response, limits::MAX_LISTING_BYTES))
                .await;
        // Parsed, because not every success comes from the store: a proxy may answer in its place.
        let body = body.map_err(|_| StorageError::TimedOut)??;
        listing::objects_page(status, &body, object_keys::PREFIX, None).map(drop)
    }

    /// Makes the bucket; false when another process was quicker.
    async fn make_bucket(&self) -> Result<bool, StorageError> {
        let region = self.client.region();
        // rust-s3's own call names us-east-1 as a constraint, which S3 refuses for that region alone.
        let body = if region == "us-east-1" {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )
        };
        match self.client.send(Request::put("", &[]).with_body(vec![body.into()])).await {
            Ok(_) => Ok(true),
            // Another process was quicker, or the store is still making it.
            Err(error) => self.list_one().await.map(|()| false).map_err(|_| error),
        }
    }
}
