//! Bytes and key that a file must have, computed from the documents alone (docs/EVENTS.md).

use sha2::{Digest, Sha256};

/// Returns the bytes of a file; `created_at` as the API writes it.
pub fn content(title: &str, description: Option<&str>, created_at: &str) -> Vec<u8> {
    let rule = "=".repeat(19);
    let lines = [
        rule.as_str(),
        "GENERATED FILE",
        &rule,
        &format!("Title: {title}"),
        &format!("Description: {}", description.unwrap_or("")),
        &format!("Generated at: {created_at}"),
        "",
    ];
    lines.join("\n").into_bytes()
}

/// `files/{id}_{slug}_{created_at in epoch ms}.txt`
pub fn key(id: i64, title: &str, created_at_ms: i64) -> String {
    let mut slug = String::new();
    for c in title.to_lowercase().chars() {
        if matches!(c, 'a'..='z' | '0'..='9') {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    slug.truncate(80);
    let slug = slug.trim_end_matches('_');
    format!("files/{id}_{}_{created_at_ms}.txt", if slug.is_empty() { "untitled" } else { slug })
}

/// Tells whether a worker may name this as the object of file `id`.
pub fn may_be_of(id: i64, bucket: &str, location: &str) -> bool {
    let name = location.strip_prefix(&format!("s3://{bucket}/files/{id}_")).unwrap_or_default();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    !name.is_empty() && name.bytes().all(is_plain) && !name.contains("..") && location.len() <= 500
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
