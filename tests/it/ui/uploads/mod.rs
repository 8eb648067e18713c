//! The upload form of the list's page, in a browser and without JavaScript.

mod in_a_browser;
mod without_javascript;

/// Makes bytes that no part of the way could mistake for others.
fn content(size: usize) -> Vec<u8> {
    (0_u64..).flat_map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).take(size).collect()
}
