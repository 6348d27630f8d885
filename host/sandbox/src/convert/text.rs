//! Small checks of strings that came out of a component.

use tributary_core::contract::Failure;

use super::violation;

/// Lower-case letters, digits, `_` and `-`; 1 to `max_bytes` of them.
pub(super) fn identifier(text: &str, max_bytes: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    !text.is_empty() && text.len() <= max_bytes && text.bytes().all(plain)
}

/// Empty means absent.
pub(super) fn optional(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// Refuses text of more than `max_bytes`, or with a NUL.
pub(super) fn shorter_than(max_bytes: usize, what: &str, text: &str) -> Result<(), Failure> {
    if text.contains('\0') {
        return Err(violation("bad_text", format!("the {what} of an item contains a NUL")));
    }
    if text.len() <= max_bytes {
        return Ok(());
    }
    Err(violation("item_too_large", format!("the {what} of an item has {} of at most {max_bytes} bytes", text.len())))
}
