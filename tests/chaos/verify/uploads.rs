//! Rows of uploaded files: each is finished, and a completed one has its object, whole and under a key of its own (I2, I3).

use std::collections::HashSet;

use tokio_postgres::Client;

use super::Failure;
use super::objects::Objects;
use super::violations::Violations;

/// Checks the rows, takes the objects of completed ones out of `objects`, and returns the ids of all.
pub async fn check(
    client: &Client,
    bucket: &str,
    objects: &mut Objects,
    violations: &mut Violations,
) -> Result<HashSet<i64>, Failure> {
    let sql = "SELECT id, status, s3_location, size, sha256 FROM files WHERE origin = 'uploaded' ORDER BY id";
    let mut ids = HashSet::new();
    for row in client.query(sql, &[]).await? {
        let (id, status): (i64, String) = (row.get(0), row.get(1));
        ids.insert(id);
        let location: Option<String> = row.get(2);
        let (size, sha256): (Option<i64>, Option<String>) = (row.get(3), row.get(4));
        match (status.as_str(), location, size, sha256) {
            ("completed", Some(location), Some(size), Some(sha256)) => {
                let key = location.strip_prefix(&format!("s3://{bucket}/")).unwrap_or_default();
                if !is_own(key, id) {
                    violations.add("I3", "location-not-its-own", || format!("file {id}: {location}"));
                }
                let size = usize::try_from(size).unwrap_or_default();
                objects.reference(id, key, (size, sha256), violations);
            }
            ("failed" | "cancelled", None, None, None) | ("deleted", None, ..) => {}
            ("uploading", ..) => violations.add("I2", "unfinished", || format!("upload {id}")),
            (status, location, size, _) => violations
                .add("I3", "row-differs", || format!("upload {id}: {status}, {location:?}, {size:?} bytes")),
        }
    }
    Ok(ids)
}

/// `uploads/{owner}/{id}/{name}`, and no tail.
fn is_own(key: &str, id: i64) -> bool {
    let parts: Vec<&str> = key.split('/').collect();
    matches!(parts.as_slice(), ["uploads", owner, number, name]
        if !owner.is_empty() && *number == id.to_string() && !name.is_empty() && !name.contains(".tail-"))
}
