//! Bytes to text: a byte-order mark, else UTF-8 when it is valid, else what the document declares, else Windows-1252,
//! in which every byte means something.

use encoding_rs::{Encoding, WINDOWS_1252};

/// How many bytes of an HTML document are searched for a declared encoding (as browsers do).
const DECLARATION_BYTES: usize = 1024;

/// Decodes a document that cannot declare its encoding.
pub(crate) fn text(bytes: Vec<u8>) -> String {
    decode(bytes, |_| None)
}

/// Decodes HTML, which may declare its encoding.
pub(crate) fn html(bytes: Vec<u8>) -> String {
    decode(bytes, declared)
}

fn decode(bytes: Vec<u8>, declared: fn(&[u8]) -> Option<&'static Encoding>) -> String {
    if let Some((encoding, mark_bytes)) = Encoding::for_bom(&bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark_bytes..]).0.into_owned();
    }
    String::from_utf8(bytes).unwrap_or_else(|broken| {
        let bytes = broken.into_bytes();
        let encoding = declared(&bytes).unwrap_or_else(|| guess(&bytes));
        encoding.decode_without_bom_handling(&bytes).0.into_owned()
    })
}

/// UTF-8 with a few broken places keeps its umlauts; text without a single valid multi-byte character never was UTF-8.
fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut chunks = bytes.utf8_chunks();
    if chunks.any(|chunk| !chunk.valid().is_ascii()) { encoding_rs::UTF_8 } else { WINDOWS_1252 }
}

fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(DECLARATION_BYTES)].to_ascii_lowercase();
    let at = head.windows(8).position(|window| window == b"charset=")? + 8;
    let label: Vec<u8> = head[at..]
        .iter()
        .copied()
        .skip_while(|byte| matches!(byte, b'"' | b'\'' | b' '))
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.'))
        .collect();
    // A declaration readable as ASCII cannot be UTF-16.
    Encoding::for_label(&label).map(Encoding::output_encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_encoding_is_recognised() {
        assert_eq!(text("Größe".into()), "Größe");
        assert_eq!(text(b"\xef\xbb\xbfGr\xc3\xb6\xc3\x9fe".to_vec()), "Größe");
        assert_eq!(text(b"Gr\xf6\xdfe".to_vec()), "Größe");
        assert_eq!(text(b"\xff\xfeG\0r\0\xf6\0\xdf\0e\0".to_vec()), "Größe");
        assert_eq!(text(b"\xfe\xff\0G\0r\0\xf6\0\xdf\0e".to_vec()), "Größe");
        assert_eq!(html(b"<meta charset=\"iso-8859-2\"><p>\xb1".to_vec()), "<meta charset=\"iso-8859-2\"><p>ą");
    }

    #[test]
    fn one_broken_byte_does_not_turn_utf8_into_mojibake() {
        assert_eq!(text(b"Gr\xc3\xb6\xc3\x9fe \xff M".to_vec()), "Größe \u{fffd} M");
    }
}
