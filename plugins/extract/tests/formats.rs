//! Every format to title, language and sections, through a host as the server would call it.
#![allow(clippy::unwrap_used)]

use tributary_plugin_extract::{DocumentExtractor, MAX_INPUT_BYTES};
use tributary_plugin_sdk::{Extracted, Extractor, Failure, Fault, Locator, testing::TestHost};

fn extract(content: impl Into<Vec<u8>>, media_type: &str, name: &str) -> Result<Extracted, Failure> {
    let host = TestHost::new();
    let blob = host.blob(content);
    DocumentExtractor::extract(&host, blob, media_type, Some(name))
}

fn sections(extracted: &Extracted) -> Vec<(String, String, String)> {
    let part = |section: &tributary_plugin_sdk::Section| {
        let at = match &section.at {
            Some(Locator::Fragment(fragment)) => fragment.clone(),
            _ => String::new(),
        };
        (section.heading.join(" / "), at, section.text.clone())
    };
    extracted.sections.iter().map(part).collect()
}

fn expect(extracted: &Extracted, wanted: &[(&str, &str, &str)]) {
    let wanted: Vec<_> = wanted.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())).collect();
    assert_eq!(sections(extracted), wanted);
}

#[test]
fn markdown_keeps_its_headings_lists_tables_and_code() {
    let source = "---\ntitle: \"Shipping & returns\"\nlang: de_AT\n---\nIntro with a [link](https://x.example) and\na wrapped line.\n\n\
        # Shipping & returns\n\n## Zones\n\n- One\n  1. first\n  2. second\n- [x] Two\n\n| Zone | Price |\n|---|---|\n| EU | 4.90 |\n\n\
        ## Zones\n\n> Quoted *words*.\n\n```rust\nfn main() {\n    ship();\n}\n```\n\n<p>Raw <b>HTML</b></p>\n\n\
        ### Deep {#custom}\n\nText[^1].<br>Next ![photo](p.png)\n\n[^1]: A note.\n\n## Empty\n";
    let extracted = extract(source, "text/markdown", "a.md").unwrap();
    assert_eq!(extracted.title.as_deref(), Some("Shipping & returns"));
    assert_eq!(extracted.language.as_deref(), Some("de-AT"));
    expect(
        &extracted,
        &[
            ("", "", "Intro with a link and a wrapped line."),
            (
                "Shipping & returns / Zones",
                "zones",
                "- One\n  1. first\n  2. second\n- [x] Two\n\nZone | Price\nEU | 4.90",
            ),
            ("Shipping & returns / Zones", "zones-1", "Quoted words.\n\nfn main() {\n    ship();\n}\n\nRaw HTML"),
            ("Shipping & returns / Zones / Deep", "custom", "Text[1].\nNext photo\n\nA note."),
            ("Shipping & returns / Empty", "empty", "Empty"),
        ],
    );
}

#[test]
fn the_first_heading_is_the_title_of_a_plain_markdown_file() {
    let extracted = extract("# Kettle\n\nBoils.\n", "application/octet-stream", "kettle.MD").unwrap();
    assert_eq!(extracted.title.as_deref(), Some("Kettle"));
    expect(&extracted, &[("Kettle", "kettle", "Boils.")]);
}

#[test]
fn plain_text_in_any_encoding() {
    for bytes in [b"Gr\xc3\xb6\xc3\x9fe\r\n\r\nzwei".to_vec(), b"Gr\xf6\xdfe\r\n\r\nzwei".to_vec()] {
        expect(&extract(bytes, "text/plain", "a.txt").unwrap(), &[("", "", "Größe\n\nzwei")]);
    }
    expect(&extract("", "text/plain", "a.txt").unwrap(), &[]);
}

#[test]
fn tables_and_records_read_as_lines() {
    let csv = extract("a;b\n1;\"x\ny\"\n", "text/csv", "t.csv").unwrap();
    expect(&csv, &[("", "", "a | b\n1 | x\ny")]);
    let json = extract(r#"{"a":{"b":[1,"x"]},"c":null,"d":true}"#, "application/json", "t.json").unwrap();
    expect(&json, &[("", "", "a.b: 1\na.b: x\nd: true")]);
    let failure = extract("{\"a\":", "application/json", "t.json").unwrap_err();
    assert_eq!(failure.fault, Fault::SourceContract);
}

#[test]
fn the_media_type_can_ask_for_the_whole_page() {
    let page = "<nav>Menu</nav><main>Text</main>";
    expect(&extract(page, "text/html", "a.html").unwrap(), &[("", "", "Text")]);
    expect(&extract(page, "text/html;main-content=false", "a.html").unwrap(), &[("", "", "Menu\nText")]);
}

#[test]
fn what_cannot_be_read_is_said() {
    let failure = extract("\u{1}\0", "image/png", "a.png").unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Unsupported, "format_unsupported"));
    assert!(
        failure.message.starts_with("Files of type .png cannot be read. Supported are Markdown, "),
        "{}",
        failure.message
    );
    let failure = extract("%PDF-1.7\n\0", "application/pdf", "a.pdf").unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::SourceContract, "damaged"));
    assert_eq!(failure.message, "The PDF is damaged: its pages cannot be found. Restore it or save it again.");
    let failure = extract(vec![b'x'; MAX_INPUT_BYTES as usize + 1], "text/plain", "a.txt").unwrap_err();
    assert_eq!(failure.fault, Fault::TooLarge);
}

/// Real pages, when the toolchain has its documentation installed.
#[test]
fn generated_documentation_reads_cleanly() {
    let Ok(rustc) = std::process::Command::new("rustc").args(["--print", "sysroot"]).output() else { return };
    let root = String::from_utf8(rustc.stdout).unwrap();
    let page = |path: &str| {
        let file = format!("{}/share/doc/rust/html/{path}", root.trim());
        let bytes = std::fs::read(file).ok()?;
        let name = path.rsplit('/').next().unwrap();
        Some(extract(bytes, "text/html", name).unwrap())
    };
    if let Some(vec) = page("std/vec/struct.Vec.html") {
        assert_eq!(vec.title.as_deref(), Some("Vec in std::vec - Rust"));
        let push =
            vec.sections.iter().find(|section| section.at == Some(Locator::Fragment("method.push".into()))).unwrap();
        assert!(push.heading.last().unwrap().starts_with("pub fn push(&mut self, value: T)"), "{:?}", push.heading);
        assert_eq!(push.text, "Appends an element to the back of a collection.");
        let all: String = vec.sections.iter().map(|section| section.text.as_str()).collect();
        assert!(!all.contains("Copy item path") && !all.contains("Expand description"));
    }
    if let Some(chapter) = page("book/ch04-01-what-is-ownership.html") {
        assert_eq!(chapter.title.as_deref(), Some("What Is Ownership?"));
        assert!(
            chapter.sections[0]
                .text
                .starts_with("Ownership is a set of rules that govern how a Rust program manages memory.")
        );
        assert!(!chapter.sections.iter().any(|section| section.text.contains("Foreword")), "the sidebar is left out");
    }
}
