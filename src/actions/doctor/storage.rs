//! Checks of S3: the address, the answers, the bucket, each right, and the clock.

use bytes::Bytes;

use super::{Access, network};
use crate::config::S3Config;
use crate::domain::Finding;
use crate::storage::{Storage, StorageError};

const SUBJECT: &str = "s3";
/// The only object that a check stores, and removes again.
const PROBE_KEY: &str = "doctor/probe";
/// Past this a store refuses signatures, which are good for fifteen minutes.
const MAX_CLOCK_DIFFERENCE_SECS: u64 = 60;

pub(super) async fn check(config: &S3Config, access: Access) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(proxy) = &config.proxy {
        let bypass = proxy.bypass.as_deref().map(|hosts| format!(", but for {hosts}")).unwrap_or_default();
        findings.push(Finding::ok("s3 proxy", format!("requests go through an HTTP proxy{bypass}")));
    } else if let Some((host, port)) = config.host_and_port()
        && let Some(finding) = network::unreachable(SUBJECT, "S3_ENDPOINT", &host, port).await
    {
        return vec![finding];
    }
    let storage = match Storage::new(config) {
        Ok(storage) => storage,
        Err(error) => return vec![failed(config, "a client", "", &error)],
    };
    match storage.ping().await {
        Ok(()) => findings.push(Finding::ok(SUBJECT, format!("bucket {} answers", config.bucket))),
        Err(error) => {
            findings.push(failed(config, "listing the bucket", "s3:ListBucket", &error));
            if !matches!(error, StorageError::Denied(_)) {
                return findings;
            }
        }
    }
    findings.extend(rights(config, &storage, access).await);
    findings.extend(clock(&storage).await);
    findings
}

/// Tries each operation by itself, as a policy may allow only some of them.
async fn rights(config: &S3Config, storage: &Storage, access: Access) -> Vec<Finding> {
    let content = Bytes::from_static(b"filesys doctor");
    let mut outcomes = Vec::new();
    if access == Access::ReadWrite {
        let put = storage.put(PROBE_KEY, "text/plain", &content).await.map(drop);
        outcomes.push(("storing an object", "s3:PutObject", put));
    }
    let get = match storage.open(PROBE_KEY, None).await {
        Ok(_) | Err(StorageError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    };
    outcomes.push(("reading an object", "s3:GetObject", get));
    if access == Access::ReadWrite {
        let multipart = storage.try_multipart(PROBE_KEY).await;
        outcomes.push(("an upload in parts", "s3:PutObject and s3:AbortMultipartUpload", multipart));
        outcomes.push(("removing an object", "s3:DeleteObject", storage.remove(PROBE_KEY).await));
    }
    outcomes
        .into_iter()
        .map(|(what, right, outcome)| match outcome {
            Ok(()) => Finding::ok(format!("s3 {right}"), format!("{what} works")),
            Err(error) => failed(config, what, right, &error),
        })
        .collect()
}

async fn clock(storage: &Storage) -> Option<Finding> {
    let ahead = storage.clock_ahead_secs().await.ok()??;
    let detail = describe_difference(ahead);
    Some(if ahead.unsigned_abs() > MAX_CLOCK_DIFFERENCE_SECS {
        Finding::warning(
            "clock",
            detail,
            "set this machine's clock (NTP): signatures are good for fifteen minutes by the store's clock; \
             filesys corrects its own, other clients don't",
        )
    } else {
        Finding::ok("clock", detail)
    })
}

fn describe_difference(ahead: i64) -> String {
    let (seconds, direction) = (ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead of" });
    match seconds {
        0 => "the store's clock agrees with this machine's".to_owned(),
        1.. => format!("the store's clock is {seconds} s {direction} this machine's"),
    }
}

fn failed(config: &S3Config, what: &str, right: &str, error: &StorageError) -> Finding {
    let bucket = &config.bucket;
    let advice = match error {
        StorageError::Denied(text) if text.contains("SignatureDoesNotMatch") => {
            "AWS_SECRET_ACCESS_KEY is not the key's secret, or a proxy on the way changes the request".to_owned()
        }
        StorageError::Denied(text) if text.contains("InvalidAccessKeyId") => {
            "AWS_ACCESS_KEY_ID is not known to the store".to_owned()
        }
        StorageError::Denied(_) => format!("allow {right} on bucket {bucket} to this access key"),
        StorageError::NoBucket(_) => {
            format!("`filesys migrate` and `filesys serve` make bucket {bucket}, given s3:CreateBucket")
        }
        StorageError::Unavailable(_) | StorageError::Busy(..) | StorageError::TimedOut => {
            "see the store's own log; S3_ENDPOINT must be an S3 server's address, with its scheme (http or https)"
                .to_owned()
        }
        StorageError::Misconfigured(_) => "correct S3_ENDPOINT, S3_REGION or S3_BUCKET as the line says".to_owned(),
        StorageError::NotFound(_) | StorageError::Corrupt(_) | StorageError::Other(_) => {
            "S3_ENDPOINT may not be an S3 server, or one that lacks this operation".to_owned()
        }
    };
    let subject = if right.is_empty() { SUBJECT.to_owned() } else { format!("{SUBJECT} {right}") };
    Finding::error(subject, format!("{what}: {error}"), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_or_behind_and_never_by_a_negative_number() {
        assert_eq!(describe_difference(0), "the store's clock agrees with this machine's");
        assert_eq!(describe_difference(7), "the store's clock is 7 s ahead of this machine's");
        assert_eq!(describe_difference(-1), "the store's clock is 1 s behind this machine's");
    }
}
