//! The roles as processes, with everything encrypted: Kafka by SCRAM, PostgreSQL, S3.

use secrecy::ExposeSecret;
use tokio::process::Command;

use super::postgres::EncryptedPostgres;
use super::s3::https;
use crate::support::certificates::Authority;
use crate::support::process::{Process, STOP_LIMIT};
use crate::support::secure_kafka::{Listener, PASSWORD, SecureKafka, USER};
use crate::support::{Api, Bucket, PATIENCE, eventually, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_completes_with_kafka_postgresql_and_s3_all_encrypted() {
    let Some(kafka) = SecureKafka::start().await else { return };
    let authority = Authority::new();
    let postgres = EncryptedPostgres::start(&authority.sign(&["localhost"])).await;
    let bucket = Bucket::named_uniquely();
    let (_front, endpoint) = https(&bucket, &authority).await;
    let dir = tempfile::tempdir().unwrap();
    let password_file = dir.path().join("kafka-password");
    std::fs::write(&password_file, format!("{PASSWORD}\n")).unwrap();

    let (ca, kafka_ca) = (authority.path(), kafka.authority.path());
    let database = postgres.url("localhost", &format!("sslmode=verify-full&sslrootcert={}", ca.display()));
    let env = [
        ("PORT", "0"),
        ("DATABASE_URL", database.expose_secret()),
        ("S3_ENDPOINT", &endpoint),
        ("S3_CA", ca.to_str().unwrap()),
        ("S3_BUCKET", bucket.name()),
        ("AWS_ACCESS_KEY_ID", &bucket.config.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", bucket.config.secret_access_key.expose_secret()),
        ("KAFKA_BROKERS", &kafka.address(Listener::SaslTls)),
        ("KAFKA_TLS", "true"),
        ("KAFKA_TLS_CA", kafka_ca.to_str().unwrap()),
        ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
        ("KAFKA_SASL_USERNAME", USER),
        ("KAFKA_SASL_PASSWORD_FILE", password_file.to_str().unwrap()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let start = |role: &str| Process::spawn(&[role], &env, &dir.path().join(format!("{role}.log")));

    let mut migrate = Command::new(env!("CARGO_BIN_EXE_filesys"));
    migrate.arg("migrate").env_clear().envs(env.clone()).kill_on_drop(true);
    let migrated = within(PATIENCE, "migrating", migrate.output()).await.unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    let (serve, worker) = (start("serve"), start("worker"));
    let address = eventually("serve listens", async || {
        let log = serve.log();
        let address = log.split_once("listening address=").map(|(_, rest)| rest);
        address.and_then(|rest| rest.split_whitespace().next()).map(str::to_owned).ok_or(log)
    })
    .await;
    let api = Api::at(&format!("http://{address}"));
    let file = api.completed_file("encrypted all the way").await;
    let content = api.content(file.id).await.ok();
    assert!(content.text().contains("encrypted all the way"));
    let (encrypted, others) = postgres.sessions().await;
    assert!(encrypted >= 2 && others == 0, "{encrypted} encrypted, {others} others");
    assert_eq!(api.get("/readyz").await.ok().json::<serde_json::Value>()["status"], "ready");

    for process in [worker, serve] {
        let log = process.log();
        assert!(!log.contains(PASSWORD) && !log.contains("Signature"), "{log}");
        process.stop_within(STOP_LIMIT * 2).await;
    }
    postgres.stop().await;
}
