//! `filesys doctor`: one line for each problem, which says what to do.

use std::net::TcpListener;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::{code, filesys, stderr, stdout};
use crate::support::pgbouncer::PgBouncer;
use crate::support::process::{Process, STOP_LIMIT};
use crate::support::proxy::s3::{Direct, S3Mode, S3Proxy};
use crate::support::{Bucket, Database, Ground, eventually, holds};

const S3_KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];

/// Runs it: findings as JSON and the exit code; fails if a secret is printed.
fn doctor(role: &str, env: &[(&str, &str)]) -> (Vec<Value>, i32) {
    let output = filesys(&["doctor", "--role", role, "--output", "json"], env);
    let printed = stdout(&output);
    assert!(!format!("{printed}{}", stderr(&output)).contains("hunter2"), "{printed}");
    let findings = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (findings, code(&output))
}

/// First finding that is not `ok`.
fn first_wrong(findings: &[Value]) -> &Value {
    findings.iter().find(|finding| finding["severity"] != "ok").expect("something is wrong")
}

#[test]
fn each_way_of_not_reaching_a_service_has_its_own_words() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let kafka = |brokers| [("KAFKA_BROKERS", brokers), ("S3_ENDPOINT", "http://127.0.0.1:1")];
    for (brokers, words, advice) in [
        ("no-such-host.invalid:9092", "has no address", "KAFKA_BROKERS"),
        ("127.0.0.1:1", "connection refused", "start the service"),
    ] {
        let (findings, code) = doctor("worker", &[&kafka(brokers)[..], &S3_KEYS].concat());
        assert_eq!(code, 1, "{findings:?}");
        let wrong = first_wrong(&findings);
        assert!(wrong["detail"].as_str().unwrap().contains(words), "{wrong}");
        assert!(wrong["advice"].as_str().unwrap().contains(advice), "{wrong}");
        assert!(findings.iter().any(|finding| finding["subject"] == "s3"), "{findings:?}");
    }
    let (findings, code) = doctor("up", &[&[("S3_ENDPOINT", silent.as_str())][..], &S3_KEYS].concat());
    assert_eq!(code, 1);
    let s3 = findings.iter().find(|finding| finding["subject"] == "s3 s3:ListBucket").unwrap();
    assert!(s3["detail"].as_str().unwrap().contains("did not answer in time"), "{s3}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_well_every_line_says_so_and_nothing_is_left_behind() {
    let ground = Ground::new().await;
    ground.bucket.made().await;
    let env = ground.env(&[]);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (findings, code) = doctor("up", &env);
    let wrong: Vec<&Value> = findings
        .iter()
        // Topics are made by whoever starts first.
        .filter(|finding| finding["severity"] == "error" && finding["detail"] != "missing")
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(code == 0 || ground.kafka.is_some(), "{findings:#?}");
    let subjects: Vec<&str> = findings.iter().map(|finding| finding["subject"].as_str().unwrap()).collect();
    for subject in ["postgresql", "postgresql schema", "s3", "s3 s3:PutObject", "s3 s3:DeleteObject", "clock"]
    {
        assert!(subjects.contains(&subject), "{subject} is missing in {subjects:?}");
    }
    assert_eq!(ground.bucket.keys().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_says_by_its_codes_what_is_wrong() {
    let empty = Database::empty().await;
    let url = empty.url().expose_secret().to_owned();
    let (findings, code) = doctor("migrate", &database_only(&url));
    assert_eq!(code, 1);
    let schema = findings.iter().find(|finding| finding["subject"] == "postgresql schema").unwrap();
    assert!(schema["advice"].as_str().unwrap().contains("filesys migrate"), "{schema}");

    let connection = empty.connect().await;
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    connection.batch_execute(&read_only).await.unwrap();
    let (findings, _) = doctor("migrate", &database_only(&url));
    assert!(first_wrong(&findings)["detail"].as_str().unwrap().contains("read only"), "{findings:?}");

    let missing = url.replace(name, "no_such_database");
    let (findings, _) = doctor("migrate", &database_only(&missing));
    assert!(first_wrong(&findings)["detail"].as_str().unwrap().contains("does not exist"), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_says_whether_it_can_be_worked_with() {
    let database = Database::migrated().await;
    for (mode, line) in [("session", "takes writes"), ("transaction", "in transaction mode")] {
        let Some(pooler) = PgBouncer::start(&database, mode) else { return };
        pooler.listens().await;
        let (findings, _) = doctor("migrate", &database_only(pooler.url.expose_secret()));
        let finding = findings.iter().find(|finding| finding["subject"] == "postgresql").unwrap();
        assert!(finding["detail"].as_str().unwrap().contains(line), "{mode}: {finding}");
        if mode == "transaction" {
            assert!(finding["advice"].as_str().unwrap().contains("pool_mode=session"), "{finding}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_make_the_search_index_searches_without_and_is_told() {
    let database = Database::empty().await;
    let admin = database.connect().await;
    let role = crate::support::unique("plain");
    let name: String = database.one("SELECT current_database()::text").await;
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'plain'; REVOKE CREATE ON DATABASE {name} FROM PUBLIC;
         GRANT CREATE, USAGE ON SCHEMA public TO {role}"
    );
    admin.batch_execute(&sql).await.unwrap();
    let mut url = url::Url::parse(database.url().expose_secret()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("plain")).unwrap();
    let plain = secrecy::SecretString::from(url.to_string());
    assert!(!filesys::db::migrations::migrate(&plain).await.unwrap().is_empty());
    let db = filesys::db::Db::new(&plain, 4).unwrap();
    let page = filesys::domain::PageRequest::new(Some("5"), None, None, Some("zzz")).unwrap();
    assert!(db.files().list(&page).await.unwrap().files.is_empty());
    let env = database_only(url.as_str());
    let (findings, _) = doctor("migrate", &env);
    let index =
        findings.iter().find(|finding| finding["detail"].as_str().unwrap().contains("pg_trgm")).unwrap();
    assert_eq!(index["severity"], "warning");
    // Somebody who may makes the extension; the next migration the index.
    admin.batch_execute("CREATE EXTENSION pg_trgm").await.unwrap();
    assert_eq!(filesys::db::migrations::migrate(&plain).await.unwrap(), [""; 0]);
    let (findings, _) = doctor("migrate", &env);
    assert!(
        !findings.iter().any(|finding| finding["detail"].as_str().unwrap().contains("pg_trgm")),
        "{findings:?}"
    );
    drop(db);
    admin.batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn up_that_waits_for_a_named_database_says_after_a_while_what_is_wrong_and_stores_nothing() {
    let ground = Ground::new().await;
    let nowhere = "postgresql://u:hunter2@127.0.0.1:1/d";
    let s3 = &ground.bucket.config;
    let secret = s3.secret_access_key.expose_secret();
    let proxy = S3Proxy::start(
        s3.endpoint.as_deref().unwrap(),
        Direct {
            bucket: s3.bucket.clone(),
            access_key: s3.access_key_id.clone(),
            secret_key: secret.to_owned(),
        },
    )
    .await;
    proxy.set(S3Mode::StoreNothing, 100);
    let endpoint = format!("http://{}", proxy.address());
    let env = ground.env(&[("DATABASE_URL", nowhere), ("S3_ENDPOINT", &endpoint)]);
    let process = Process::spawn(&["up"], &env, &ground.log());
    eventually("the findings of doctor", async || {
        let log = process.log();
        holds(log.contains("not ready:") && log.contains("check=postgresql"), &log)
    })
    .await;
    assert!(!process.log().contains("hunter2"));
    // A process that is killed during this check would leave what it had stored.
    assert_eq!(proxy.hits(), 0, "an object was stored");
    process.stop_within(STOP_LIMIT).await;
}

/// Environment without Kafka and S3, whose findings are tested elsewhere.
fn database_only(url: &str) -> Vec<(&str, &str)> {
    let rest = [("KAFKA_BROKERS", "127.0.0.1:1"), ("S3_ENDPOINT", "http://127.0.0.1:1")];
    [&[("DATABASE_URL", url)][..], &rest, &S3_KEYS].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_from_a_missing_bucket() {
    let bucket = Bucket::named_uniquely();
    let endpoint = bucket.config.endpoint.clone().unwrap();
    let (findings, code) = doctor(
        "up",
        &[
            ("S3_ENDPOINT", endpoint.as_str()),
            ("S3_BUCKET", &bucket.config.bucket),
            ("AWS_ACCESS_KEY_ID", &bucket.config.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", bucket.config.secret_access_key.expose_secret()),
        ],
    );
    assert_eq!(code, 1);
    assert!(first_wrong(&findings)["advice"].as_str().unwrap().contains("CreateBucket"), "{findings:?}");
    // LocalStack takes any secret.
    if Bucket::is_embedded() {
        let env = [
            ("S3_ENDPOINT", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", &bucket.config.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ];
        let (findings, _) = doctor("up", &env);
        let wrong = first_wrong(&findings);
        assert!(wrong["advice"].as_str().unwrap().contains("AWS_SECRET_ACCESS_KEY"), "{wrong}");
    }
}
