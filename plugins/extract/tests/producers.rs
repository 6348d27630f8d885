//! Files as programs and libraries write them (tests/files/make.py says how they were made).
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use support::outline;
use tributary_plugin_extract::extract_bytes;
use tributary_plugin_sdk::{Extracted, Failure};

fn extract(name: &str) -> Result<Extracted, Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name);
    extract_bytes(std::fs::read(path).unwrap(), "application/octet-stream", Some(name))
}

fn expect(name: &str, title: Option<&str>, wanted: &[&str]) {
    let extracted = extract(name).unwrap();
    assert_eq!(extracted.title.as_deref(), title, "{name}");
    assert_eq!(outline(&extracted), wanted, "{name}");
}

#[test]
fn office_documents() {
    expect(
        "python-docx.docx",
        Some("Returns handbook"),
        &[
            "[Conditions] Goods can be returned within 30 days.\n\n- Unopened\n- With receipt\n1. Pack it\n2. Send it",
            "[Conditions/Fees] | Zone | Fee |\n| --- | --- |\n| Domestic | 4.90 EUR |\n| Europe | 9.90 EUR |",
        ],
    );
    expect(
        "python-pptx.pptx",
        Some("Spring campaign"),
        &[
            "[Spring campaign @1] Plans for 2026",
            "[Budget @2] - Radio 4,000 EUR\n  - regional stations\n\nNotes:\n\n- Ask for a discount.",
            "[Cities @3] | City | Shops |\n| --- | --- |\n| Graz | 3 |",
        ],
    );
    expect("odfpy.odt", Some("Opening hours"), &["[Opening hours] We open at nine.\n\n- Monday\n- Tuesday"]);
}

#[test]
fn workbooks_without_their_hidden_sheets() {
    expect(
        "openpyxl.xlsx",
        Some("Price list"),
        &[
            "[Prices @Prices!A1:E3] | SKU | Name | Price | Since | Active |\n| --- | --- | --- | --- | --- |\n\
             | WX-1017 | Winter Jacket | 119.9 | 2026-01-15 | TRUE |\n| WX-1018 | Rain Coat | 0.3 | 2026-02-01 14:30 | FALSE |",
            "[Stock @Stock!A1:B2] | SKU | Stock |\n| --- | --- |\n| WX-1017 | 12 |",
        ],
    );
    let old = "[Old prices @Old prices!A1:B3] | SKU | Price |\n| --- | --- |\n| WX-1 | 49.5 |\n| WX-2 | 12 |";
    expect("xlwt.xls", None, &[old]);
    let hours = "[Hours @Hours!A1:B3] | Day | Opens |\n| --- | --- |\n| Monday | 9 |\n| Sunday | closed |";
    expect("odfpy.ods", None, &[hours]);
}

#[test]
fn pdf_books_and_mail() {
    let pages = [
        "[ @1] Warranty terms\n\nThe warranty covers defects of material and workmanship for twenty-four months from the day of\n\
         delivery, and Größe & Öl are spelled right. It does not cover wear of parts that are meant to be used\nup.",
        "[ @2] Contact\n\nWrite to service@shop.example.\nCountry | Phone\n\nAustria | +43 1 234\n\nGermany | +49 30 567",
    ];
    expect("reportlab.pdf", Some("Warranty terms"), &pages);
    // Everybody may open it; only changing it needs a password.
    expect("owner-password.pdf", Some("Warranty terms"), &pages);
    let chapters = ["[Anfang #epubcfi(/6/4)] Es war ein Laden.", "[Ende #epubcfi(/6/6)] Er hat geschlossen."];
    expect("ebooklib.epub", Some("The shop's book"), &chapters);
    expect(
        "python.eml",
        Some("Lieferung verspätet"),
        &[
            "[] From: Jörg Müller <joerg@shop.example>\nTo: kunde@example.com\nDate: 2026-01-15T10:00:00+01:00\n\
             Subject: Lieferung verspätet\n\nAttachments: Rechnung 7.pdf",
            "[] Die Lieferung kommt am Freitag.\n",
        ]
        .map(str::trim_end),
    );
}

#[test]
fn what_has_a_password_is_said_to_have_one() {
    for name in ["password.pdf", "password.docx"] {
        let failure = extract(name).unwrap_err();
        assert_eq!(failure.code, "encrypted", "{name}: {}", failure.message);
        assert!(failure.message.ends_with("Save it without protection."), "{}", failure.message);
    }
}
