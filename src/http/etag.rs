//! Entity tags (RFC 9110 §8.8.3) made from the bytes of an answer.

use actix_web::http::header::EntityTag;
use sha2::{Digest, Sha256};

/// Makes a tag that only `If-None-Match` compares: compression changes the bytes and not the meaning.
pub(super) fn weak(bytes: &[u8]) -> EntityTag {
    EntityTag::new_weak(digest(bytes))
}

/// Makes the tag of something that can be changed on condition (`If-Match`). The compressed bytes have a tag of their
/// own: [`gzipped`].
pub(super) fn strong(bytes: &[u8]) -> EntityTag {
    EntityTag::new_strong(digest(bytes))
}

/// Returns the tag of the same content when it is sent with gzip as its coding.
pub(super) fn gzipped(tag: EntityTag) -> EntityTag {
    if tag.weak { tag } else { EntityTag::new_strong(format!("{}-gzip", tag.tag())) }
}

fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
