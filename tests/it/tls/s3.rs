//! S3 over https with a private certificate authority.

use filesys::config::S3Config;
use filesys::config::tls::Authorities;
use filesys::storage::Storage;
use futures_util::TryStreamExt;

use crate::support::Bucket;
use crate::support::certificates::Authority;
use crate::support::tls_front::TlsFront;

/// Endpoint of the tests' S3 server, behind TLS.
pub async fn https(bucket: &Bucket, authority: &Authority) -> (TlsFront, String) {
    let endpoint = bucket.config.endpoint.as_deref().unwrap();
    let server = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
    let front = TlsFront::start(server, &authority.sign(&["localhost"])).await;
    let endpoint = format!("https://localhost:{}", front.port);
    (front, endpoint)
}

#[tokio::test]
async fn objects_come_and_go_over_https_with_an_authority_of_ones_own() {
    let (authority, bucket) = (Authority::new(), Bucket::named_uniquely());
    let (_front, endpoint) = https(&bucket, &authority).await;
    let config = S3Config {
        endpoint: Some(endpoint),
        authorities: Some(Authorities::of_file(&authority.path()).unwrap()),
        ..bucket.config.clone()
    };
    let storage = Storage::new(&config).unwrap();
    assert!(storage.ensure_bucket().await.unwrap());
    assert!(!storage.ensure_bucket().await.unwrap());
    storage.put("files/1_a_1.txt", "text/plain", &"hello".into()).await.unwrap();
    let (size, bytes) = storage.open("files/1_a_1.txt", None).await.unwrap();
    assert_eq!(size, Some(5));
    assert_eq!(bytes.try_collect::<Vec<_>>().await.unwrap().concat(), b"hello");
}

#[tokio::test]
async fn a_store_that_is_not_believed_is_told_in_one_line_without_the_signature() {
    let (authority, bucket) = (Authority::new(), Bucket::named_uniquely());
    let (_front, endpoint) = https(&bucket, &authority).await;
    let stranger = Authority::new();
    let other = Authorities::of_file(&stranger.path()).unwrap();
    for authorities in [None, Some(other)] {
        let config = S3Config { endpoint: Some(endpoint.clone()), authorities, ..bucket.config.clone() };
        let storage = Storage::new(&config).unwrap();
        let pinged = storage.ping().await.unwrap_err().to_string();
        let put = storage.put("files/1_a_1.txt", "text/plain", &"hello".into()).await;
        let opened = storage.open("files/1_a_1.txt", None).await.map(drop);
        for said in [pinged, put.unwrap_err().to_string(), opened.unwrap_err().to_string()] {
            assert!(said.contains("UnknownIssuer") && said.contains("S3_CA"), "{said}");
            assert!(!said.contains("Signature") && !said.contains('\n'), "{said}");
        }
    }
}
