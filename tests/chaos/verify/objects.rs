//! S3, past the product: every key that the bucket has, and the bytes of some or all (I3, I4).

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Client;
use s3::creds::Credentials;
use s3::{Bucket, Region};
use serde::Deserialize;

use super::content::sha256;
use super::findings::Findings;
use super::{Counted, Failure};
use crate::evidence::Evidence;

const LIMIT: Duration = Duration::from_mins(1);
const SIGNATURE_SECS: u32 = 300;
/// Up to so many objects are all read.
const ALL: usize = 5000;
/// Number of objects that are read where there are more.
const SAMPLE: usize = 2000;
const AT_ONCE: usize = 8;

/// The store by itself.
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

    async fn ask(&self, key: &str, query: &[(&str, &str)]) -> Result<(u16, Vec<u8>), Failure> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let url = self.bucket.presign_get(key, SIGNATURE_SECS, Some(query)).await?;
        let answer = self.client.get(url).send().await?;
        Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
    }

    /// `None`: there is no such object.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self.ask(key, &[]).await? {
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

    /// Begins an upload in parts and leaves it. Its id.
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
            let (status, body) = self.ask("", &query).await?;
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

    /// Keys of uploads that nobody completed. `None`: this store can't tell.
    pub async fn uploads(&self) -> Result<Option<Vec<String>>, Failure> {
        match self.ask("", &[("uploads", "")]).await? {
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

/// What the bucket has, and what of it rows have claimed.
pub struct Objects {
    unclaimed: HashMap<String, usize>,
    claimed: Vec<(i64, String, Expected)>,
}

impl Objects {
    pub async fn list(
        store: &Store,
        counted: &mut Counted,
        findings: &mut Findings,
    ) -> Result<Self, Failure> {
        let unclaimed = store.list().await?;
        counted.objects = u64::try_from(unclaimed.len()).unwrap_or_default();
        for key in store.uploads().await?.unwrap_or_default() {
            findings.add("I4", "upload-left", || key);
        }
        Ok(Self { unclaimed, claimed: Vec::new() })
    }

    /// A completed row says that this is its object.
    pub fn claim(&mut self, id: i64, key: &str, expected: Expected, findings: &mut Findings) {
        match self.unclaimed.remove(key) {
            None => findings.add("I3", "object-missing", || format!("file {id}: {key}, or it is another's")),
            Some(size) if size != expected.0 => {
                findings.add("I3", "object-differs", || {
                    format!("file {id}: {key} has {size} bytes, not {}", expected.0)
                });
            }
            Some(_) => self.claimed.push((id, key.to_owned(), expected)),
        }
    }

    /// Once all rows have claimed theirs: what is left belongs to nobody, and what was claimed has the right bytes.
    pub async fn settle(
        self,
        store: &Store,
        counted: &mut Counted,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        for (key, size) in self.unclaimed {
            findings.add("I4", "orphan", || format!("{key}, {size} bytes"));
        }
        let total = self.claimed.len();
        let chosen = self.claimed.into_iter().filter(|(id, ..)| total <= ALL || is_in_sample(*id, total));
        let mut reads = futures_util::stream::iter(chosen)
            .map(|(id, key, expected)| async move { (id, store.get(&key).await, key, expected) })
            .buffer_unordered(AT_ONCE);
        while let Some((id, bytes, key, expected)) = reads.next().await {
            counted.objects_read += 1;
            match bytes? {
                None => findings.add("I3", "object-missing", || format!("file {id}: {key} is only listed")),
                Some(bytes) => {
                    let found = (bytes.len(), sha256(&bytes));
                    if found != expected {
                        findings.add("I3", "object-differs", || {
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
