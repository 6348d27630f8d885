//! No bytes whatever make the extractor panic, run away or return what the host would refuse.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*, sample::select};
use tributary_plugin_extract::extract_bytes;

const MEDIA_TYPES: [&str; 5] = ["text/html", "text/markdown", "text/plain", "text/csv", "application/json"];

fn holds(bytes: Vec<u8>, media_type: &str) {
    let length = bytes.len();
    let Ok(extracted) = extract_bytes(bytes, media_type, None) else { return };
    let text: usize = extracted.sections.iter().map(|section| section.text.len()).sum();
    // Markers, separators and repeated JSON paths add to the text, but never more than in proportion.
    assert!(media_type == "application/json" || text <= 40 * length + 100, "{text} bytes of text from {length}");
    for section in extracted.sections {
        assert!(!section.text.trim().is_empty());
        assert!(
            section.heading.len() <= 6
                && section.heading.iter().all(|heading| !heading.is_empty() && heading.len() <= 300)
        );
    }
    assert!(extracted.title.is_none_or(|title| !title.is_empty() && title.len() <= 300));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..600), media_type in select(&MEDIA_TYPES[..])) {
        holds(bytes, media_type);
    }

    #[test]
    fn any_tag_soup(parts in vec(select(vec![
        "<p>", "</p>", "<main>", "</main>", "<article>", "<nav>", "</nav>", "<h1>", "</h2>", "<h3 id=a>", "<ul>", "<li>", "</ul>",
        "<table>", "<tr>", "<td>", "</table>", "<pre>", "</pre>", "<title>", "</title>", "<script>", "</script>", "<div hidden>",
        "</div>", "<td hidden>", "<button>", "</button>", "<br>", "<!--", "-->", "<svg/>", "&amp;", "&#0;", " text ", "\n", "<", "\"",
        "é", "<html lang=de>", "<plaintext>", "<textarea>", "<select><option>", "<header>", "</header>", "<li hidden>", "</main",
    ]), 0..60)) {
        holds(parts.concat().into_bytes(), "text/html");
    }

    #[test]
    fn any_markup(parts in vec(select(vec![
        "# ", "## ", "- ", "1. ", "> ", "```\n", "`", "*", "**", "[", "](", ")", "![", "|", "|-|-|\n", "\n", "\n\n", "text ", "---\n",
        "title: x\n", "+++\n", "<b>", "<div>\n", "</div>", "<!-- ", "[^1]", "[^1]: ", "    ", "\t", "~~", "\\", "&amp;", "é", "===\n",
    ]), 0..60)) {
        holds(parts.concat().into_bytes(), "text/markdown");
    }
}

#[test]
fn markup_bombs_end_quickly() {
    for piece in ["[", "![", "> ", "* ", "**a", "`", "[a](", "<", "<a ", "&", "- - ", "|", "[^1]: ", "\t- ", "_a", "~~"]
    {
        let start = Instant::now();
        holds(piece.repeat(200_000 / piece.len()).into_bytes(), "text/markdown");
        assert!(start.elapsed() < Duration::from_secs(20), "{piece:?} took {:?}", start.elapsed());
    }
    for (piece, media_type) in
        [("[", "application/json"), ("{\"a\":", "application/json"), ("\"", "text/csv"), (",", "text/csv")]
    {
        holds(piece.repeat(1_000_000).into_bytes(), media_type);
    }
}
