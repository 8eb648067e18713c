//! S3, past the product: every key that the bucket has, and the bytes of some or all (I3, I4).

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Client;
use s3::creds::Credentials;
use s3::{Bucket, Region};
use serde::Deserialize;

use super::content::sha256;
use super::violations::Violations;
use super::{Counted, Failure};
use crate::evidence::Evidence;

const LIMIT: Duration = Duration::from_mins(1);
const SIGNATURE_SECS: u32 = 300;
/// Largest number of objects that are all read.
const READ_ALL: usize = 5000;
/// Number of objects that are read otherwise.
const SAMPLE: usize = 2000;
/// Objects read at once.
const AT_ONCE: usize = 8;

/// Client of the store.
pub struct Store {
    bucket: Box<Bucket>,
    client: Client,
}

impl Store {
    pub fn of(evidence: &Evidence) -> Result<Self, Failure> {
        let (key, secret) = (&evidence.s3_access_key, &evidence.s3_secret_key);
        let credentials = Credentials::new(Some(key), Some(secret), None, None, None)?;
        let region = Region::Custom { region: "us-east-1".to_owned(), endpoint: evidence.s3.clone() };
        let mut bucket = Bucket::new(&evidence.bucket, region, credentials)?;
        bucket.set_path_style();
        let client = Client::builder().no_proxy().timeout(LIMIT).build()?;
        Ok(Self { bucket, client })
    }

    async fn get_with(&self, key: &str, query: &[(&str, &str)]) -> Result<(u16, Vec<u8>), Failure> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let url = self.bucket.presign_get(key, SIGNATURE_SECS, Some(query)).await?;
        let answer = self.client.get(url).send().await?;
        Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
    }

    /// `None`: there is no such object.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self.get_with(key, &[]).await? {
            (200, bytes) => Ok(Some(bytes)),
            (404, _) => Ok(None),
            (status, _) => Err(format!("GET {key}: {status}").into()),
        }
    }

    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let url = self.bucket.presign_put(key, SIGNATURE_SECS, None, None).await?;
        self.client.put(url).body(bytes).send().await?.error_for_status()?;
        Ok(())
    }

    pub async fn delete(&self, key: &str) -> Result<(), Failure> {
        let url = self.bucket.presign_delete(key, SIGNATURE_SECS).await?;
        self.client.delete(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Begins a multipart upload and returns its id.
    pub async fn begin_upload(&self, key: &str) -> Result<String, Failure> {
        Ok(self.bucket.initiate_multipart_upload(key, "text/plain").await?.upload_id)
    }

    pub async fn abort_upload(&self, key: &str, id: &str) -> Result<(), Failure> {
        Ok(self.bucket.abort_upload(key, id).await?)
    }

    /// Sizes by key.
    async fn list(&self) -> Result<HashMap<String, usize>, Failure> {
        let mut objects = HashMap::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("list-type", "2"), ("max-keys", "1000")];
            query.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let (status, body) = self.get_with("", &query).await?;
            if status != 200 {
                return Err(format!("listing the bucket: {status}").into());
            }
            let page: Page = quick_xml::de::from_reader(body.as_slice())?;
            objects.extend(page.contents.into_iter().map(|object| (object.key, object.size)));
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(objects);
            }
        }
    }

    /// Keys of multipart uploads that were not completed; `None` if the store can't list them.
    pub async fn uploads(&self) -> Result<Option<Vec<String>>, Failure> {
        match self.get_with("", &[("uploads", "")]).await? {
            (200, body) => {
                let page: UploadPage = quick_xml::de::from_reader(body.as_slice())?;
                Ok(Some(page.upload.into_iter().map(|upload| upload.key).collect()))
            }
            (405 | 501, _) => Ok(None),
            (status, _) => Err(format!("listing uploads: {status}").into()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    contents: Vec<Contents>,
    next_continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    size: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadPage {
    #[serde(default)]
    upload: Vec<Upload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
}

/// Size and SHA-256 that an object must have.
pub type Expected = (usize, String);

/// Objects of the bucket: those that rows refer to and the others.
pub struct Objects {
    unreferenced: HashMap<String, usize>,
    referenced: Vec<(i64, String, Expected)>,
}

impl Objects {
    pub async fn list(
        store: &Store,
        counted: &mut Counted,
        violations: &mut Violations,
    ) -> Result<Self, Failure> {
        let unreferenced = store.list().await?;
        counted.objects = u64::try_from(unreferenced.len()).unwrap_or_default();
        for key in store.uploads().await?.unwrap_or_default() {
            violations.add("I4", "upload-left", || key);
        }
        Ok(Self { unreferenced, referenced: Vec::new() })
    }

    /// Takes the object of a completed row.
    pub fn reference(&mut self, id: i64, key: &str, expected: Expected, violations: &mut Violations) {
        match self.unreferenced.remove(key) {
            None => {
                violations.add("I3", "object-missing", || format!("file {id}: {key}, or it is another's"));
            }
            Some(size) if size != expected.0 => {
                violations.add("I3", "object-differs", || {
                    format!("file {id}: {key} has {size} bytes, not {}", expected.0)
                });
            }
            Some(_) => self.referenced.push((id, key.to_owned(), expected)),
        }
    }

    /// Checks, once every row has been read, that no object is an orphan and that referenced ones have the right bytes.
    pub async fn check_contents(
        self,
        store: &Store,
        counted: &mut Counted,
        violations: &mut Violations,
    ) -> Result<(), Failure> {
        for (key, size) in self.unreferenced {
            violations.add("I4", "orphan", || format!("{key}, {size} bytes"));
        }
        let total = self.referenced.len();
        let chosen =
            self.referenced.into_iter().filter(|(id, ..)| total <= READ_ALL || is_in_sample(*id, total));
        let mut reads = futures_util::stream::iter(chosen)
            .map(|(id, key, expected)| async move { (id, store.get(&key).await, key, expected) })
            .buffer_unordered(AT_ONCE);
        while let Some((id, bytes, key, expected)) = reads.next().await {
            counted.objects_read += 1;
            match bytes? {
                None => violations.add("I3", "object-missing", || format!("file {id}: {key} is only listed")),
                Some(bytes) => {
                    let found = (bytes.len(), sha256(&bytes));
                    if found != expected {
                        violations.add("I3", "object-differs", || {
                            format!("file {id}: {key} is {found:?}, not {expected:?}")
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// About `SAMPLE` of `total`, the same ones each time.
fn is_in_sample(id: i64, total: usize) -> bool {
    let mixed = id.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(mixed).unwrap_or_default() % total < SAMPLE
}
