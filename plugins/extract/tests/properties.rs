//! No bytes whatever make the extractor panic, run away or return what the host would refuse.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant},
};

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

/// Whole documents of every container format, as programs write them and as tests make them.
static DOCUMENTS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut documents: Vec<_> = entries
        // An xls makes its reader reserve what its header claims, hundreds of gigabytes: only the sandbox bounds that.
        .filter(|path| path.extension().is_some_and(|extension| extension != "py" && extension != "xls"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    documents.sort();
    let rtf = br"{\rtf1\ansi{\fonttbl{\f0 A;}}\trowd\intbl A\cell B\cell\row\pard{\pntext 1.}x\u233\'e9\par}";
    documents.push(("a.rtf".into(), rtf.to_vec()));
    documents.push(("a.pdf".into(), support::pdf(&["BT /F1 12 Tf 50 800 Td (Hello) Tj ET /Fm Do", "(x) Tj"])));
    documents
});

/// Reads a document; what cannot be read must fail with a sentence.
fn reads(bytes: Vec<u8>, name: &str) {
    let start = Instant::now();
    match extract_bytes(bytes, "application/octet-stream", Some(name)) {
        Ok(extracted) => {
            for section in extracted.sections {
                assert!(!section.text.trim().is_empty(), "{name}");
                assert!(section.heading.len() <= 6, "{name}");
                assert!(section.heading.iter().all(|heading| !heading.is_empty() && heading.len() <= 300), "{name}");
            }
        }
        Err(failure) => {
            assert!(failure.message.ends_with('.') && !failure.code.is_empty(), "{name}: {}", failure.message)
        }
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{name} took {:?}", start.elapsed());
}

/// How many damaged documents are tried: more in the long tier.
fn damaged_cases() -> u32 {
    if std::env::var_os("TRIBUTARY_TEST_FULL").is_some() { 20_000 } else { 800 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: damaged_cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_documents(
        which in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        doubled in prop::option::weighted(0.2, (any::<prop::sample::Index>(), 1..400usize)),
    ) {
        let (name, bytes) = &DOCUMENTS[which.index(DOCUMENTS.len())];
        let mut bytes = bytes.clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some((place, length)) = doubled {
            let place = place.index(bytes.len());
            let piece = bytes[place..bytes.len().min(place + length)].to_vec();
            bytes.splice(place..place, piece);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        reads(bytes, name);
    }

    /// Damage inside a container, where its check sums do not hide it.
    #[test]
    fn damaged_parts(parts in vec(select(vec![
        "<w:p>", "</w:p>", "<w:r><w:t>", "</w:t></w:r>", "<w:tbl>", "</w:tbl>", "<w:tr>", "</w:tr>", "<w:tc>", "</w:tc>", "<w:pPr>",
        "</w:pPr>", "<w:pStyle w:val=\"berschrift1\"/>", "<w:numPr><w:ilvl w:val=\"99\"/><w:numId w:val=\"3\"/></w:numPr>",
        "<w:del>", "</w:del>", "text", "&amp;", "&xxe;", "&#0;", "<!--", "-->", "<w:hyperlink r:id=\"link\">", "</w:hyperlink>", "<w:br/>",
        "<row r=\"1\">", "</row>", "<c r=\"A1\"><v>1</v></c>", "<c r=\"XFD1048576\" t=\"s\"><v>9</v></c>", "<c r=\"ZZZZZZZ1\"><v>", "</c>",
        "<text:p>", "</text:p>", "<text:h>", "</text:h>", "<text:list>", "</text:list>", "<text:list-item>", "</text:list-item>",
        "<table:table>", "</table:table>", "<table:table-row table:number-rows-repeated=\"4000000000\">", "</table:table-row>",
        "<table:table-cell table:number-columns-repeated=\"4000000000\">", "</table:table-cell>", "<draw:page>", "</draw:page>",
        "<p:sp>", "</p:sp>", "<p:ph type=\"title\"/>", "<a:p>", "</a:p>", "<a:t>", "</a:t>", "<a:tbl>", "</a:tbl>", "<a:tc>", "</a:tc>",
        "BT /F1 12 Tf ", "ET ", "(te\\377xt) Tj ", "[(a) -2000 (b)] TJ ", "1e30 0 0 1 0 0 cm ", "0 0 Td ", "/Fm Do ", "q ", "Q ", "T* ",
        "/Span <</ActualText (x)>> BDC ", "EMC ", "{\\rtf1 ", "{", "}", "\\cell ", "\\row ", "\\intbl ", "\\par ", "\\u55357 ?", "\\bin99999 ",
    ]), 0..40)) {
        let body = parts.concat();
        reads(support::docx(&body), "a.docx");
        reads(support::xlsx(&body), "a.xlsx");
        reads(support::pptx(&[&body]), "a.pptx");
        for kind in ["text", "spreadsheet", "presentation"] {
            reads(support::odf(kind, &body), "a.zip");
        }
        reads(support::epub(&[&body]), "a.epub");
        reads(support::pdf(&[&body, &body]), "a.pdf");
        reads(format!("{{\\rtf1 {body}").into_bytes(), "a.rtf");
        reads(format!("Subject: x\r\n{body}").into_bytes(), "a.eml");
    }
}

#[test]
fn container_bombs_end_quickly_with_a_named_failure() {
    let fails = |bytes: Vec<u8>, name: &str, wanted: &[&str]| {
        let start = Instant::now();
        let failure = extract_bytes(bytes, "application/octet-stream", Some(name)).unwrap_err();
        assert!(wanted.contains(&failure.code.as_str()), "{name}: {failure:?}");
        assert!(start.elapsed() < Duration::from_secs(60), "{name} took {:?}", start.elapsed());
    };
    // 120 MB of one letter in a hundred kilobytes.
    let bomb = format!("<w:p><w:r><w:t>{}</w:t></w:r></w:p>", "x".repeat(120 << 20));
    fails(support::docx(&bomb), "bomb.docx", &["unpacks_too_large"]);
    let bomb = format!("<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>{}</t></is></c></row>", "x".repeat(250 << 20));
    fails(support::xlsx(&bomb), "bomb.xlsx", &["unpacks_too_large"]);
    drop(bomb);
    fails(support::docx(&"<w:r>".repeat(100_000)), "deep.docx", &["damaged"]);
    fails("{\\rtf1 ".bytes().chain(std::iter::repeat_n(b'{', 100_000)).collect(), "deep.rtf", &["damaged"]);
    // A form that draws itself is drawn once, and draws nothing.
    fails(support::pdf(&["/Fm Do /Fm Do /Fm Do /Fm Do"]), "forms.pdf", &["no_text"]);
    let pages = vec![""; 10_001];
    fails(support::pdf(&pages), "pages.pdf", &["unpacks_too_large"]);
    let parts: Vec<String> = (0..20_001).map(|n| format!("{n}.xml")).collect();
    let parts: Vec<(&str, &str)> = parts.iter().map(|name| (name.as_str(), "")).collect();
    fails(support::zip(&parts), "parts.docx", &["unpacks_too_large"]);
}

#[test]
fn entities_expand_to_nothing() {
    let laughs =
        "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]>";
    let document =
        format!("{laughs}<w:document xmlns:w=\"w\"><w:p><w:r><w:t>a&b;&f;&lt;</w:t></w:r></w:p></w:document>");
    let bytes = support::zip(&[("word/document.xml", &document)]);
    let extracted = extract_bytes(bytes, "application/octet-stream", Some("a.docx")).unwrap();
    assert_eq!(extracted.sections[0].text, "a<");
}

#[test]
fn a_sheet_that_claims_to_be_huge_costs_nothing() {
    let rows: String = (0..200)
        .map(|n| format!("<row r=\"{n}000\"><c r=\"XFD{n}000\"><v>1</v></c><c r=\"A{n}000\"/></row>"))
        .collect();
    let bytes = support::xlsx(&format!("{rows}<row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>"));
    reads(bytes, "a.xlsx");
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
