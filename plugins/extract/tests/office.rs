//! Office documents, books, mails and PDF: what people see comes out, in order, with headings, tables and places.
#![allow(clippy::unwrap_used)]

mod support;

use support::{docx, epub, odf, outline, pdf, pptx, xlsx, zip};
use tributary_plugin_extract::extract_bytes;
use tributary_plugin_sdk::{Extracted, Failure, Fault};

fn extract(bytes: impl Into<Vec<u8>>, name: &str) -> Result<Extracted, Failure> {
    extract_bytes(bytes.into(), "application/octet-stream", Some(name))
}

fn read(bytes: impl Into<Vec<u8>>, name: &str) -> Extracted {
    extract(bytes, name).unwrap()
}

#[test]
fn word_keeps_headings_lists_tables_links_and_notes() {
    let paragraph = |properties: &str, runs: &str| format!("<w:p><w:pPr>{properties}</w:pPr>{runs}</w:p>");
    let run = |text: &str| format!("<w:r><w:rPr><w:b/></w:rPr><w:t xml:space=\"preserve\">{text}</w:t></w:r>");
    let cell = |text: &str| format!("<w:tc><w:tcPr/>{}</w:tc>", paragraph("", &run(text)));
    let body = [
        paragraph("<w:pStyle w:val=\"Titel\"/>", &run("Handbook")),
        paragraph("<w:pStyle w:val=\"Verzeichnis1\"/>", &run("Returns ..... 1")),
        paragraph("<w:pStyle w:val=\"berschrift1\"/>", &run("Returns &amp; more")),
        paragraph(
            "",
            &format!(
                "{}<w:del><w:r><w:delText>60</w:delText></w:r></w:del>{}<w:r><w:footnoteReference w:id=\"1\"/></w:r>",
                run("Within "),
                run("30 days")
            ),
        ),
        paragraph("<w:numPr><w:ilvl w:val=\"0\"/><w:numId w:val=\"3\"/></w:numPr>", &run("Pack")),
        paragraph("<w:numPr><w:ilvl w:val=\"1\"/><w:numId w:val=\"3\"/></w:numPr>", &run("well")),
        paragraph("<w:numPr><w:ilvl w:val=\"0\"/><w:numId w:val=\"3\"/></w:numPr>", &run("Send")),
        format!(
            "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}</w:tr></w:tbl>",
            cell("Zone"),
            cell("Fee"),
            cell("EU"),
            cell("4.90")
        ),
        paragraph("", &format!("<w:hyperlink r:id=\"link\">{}</w:hyperlink>", run("Details"))),
        paragraph("<w:outlineLvl w:val=\"1\"/>", &run("Empty")),
    ]
    .concat();
    let extracted = read(docx(&body), "a.docx");
    assert_eq!(extracted.title.as_deref(), Some("Handbook"));
    assert_eq!(
        outline(&extracted),
        [
            "[Returns & more] Within 30 days[1]\n\n1. Pack\n  - well\n2. Send\n\n| Zone | Fee |\n| --- | --- |\n| EU | 4.90 |\n\n\
             Details (https://shop.example/returns)",
            "[Returns & more/Empty] [1] Except spare parts.",
        ]
    );
}

#[test]
fn a_sheet_is_a_table_with_the_range_of_its_cells() {
    let cell = |at: &str, value: &str| format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{value}</t></is></c>");
    let rows = format!(
        "<row r=\"1\">{}{}</row><row r=\"2\">{}<c r=\"C2\"><v>119.9</v></c></row><row r=\"1048576\"><c r=\"XFD1048576\"/></row>",
        cell("B1", "SKU"),
        cell("C1", "Price"),
        cell("B2", "WX|1")
    );
    let extracted = read(xlsx(&rows), "a.xlsx");
    assert_eq!(outline(&extracted), ["[Prices @Prices!B1:C2] | SKU | Price |\n| --- | --- |\n| WX\\|1 | 119.9 |"]);
}

#[test]
fn a_slide_is_a_page() {
    let shape = |kind: &str, text: &str| {
        format!(
            "<p:sp><p:nvSpPr><p:nvPr><p:ph type=\"{kind}\"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p>\
             </p:txBody></p:sp>"
        )
    };
    let slides = [
        format!("{}{}{}", shape("body", "Radio"), shape("title", "Budget"), shape("sldNum", "1")),
        shape("subTitle", "only text"),
        shape("title", "hidden"),
    ];
    let extracted = read(pptx(&slides.each_ref().map(String::as_str)), "a.pptx");
    assert_eq!(extracted.title.as_deref(), Some("Budget"));
    assert_eq!(outline(&extracted), ["[Budget @1] - Radio", "[Slide 2 @2] only text"]);
}

#[test]
fn open_documents_read_like_the_others() {
    let body = "<text:h text:outline-level=\"1\">Hours</text:h><text:p>We open<text:s/>at<text:line-break/>nine.\
        <text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Not on Sunday.</text:p></text:note-body></text:note>\
        </text:p><text:list><text:list-item><text:p>Monday</text:p><text:p>and more</text:p>\
        <text:list><text:list-item><text:p>morning</text:p></text:list-item></text:list></text:list-item></text:list>\
        <text:table-of-content><text:p>Hours 1</text:p></text:table-of-content>\
        <text:p><text:a xlink:href=\"https://shop.example\">Shop</text:a></text:p>";
    let extracted = read(odf("text", body), "a.odt");
    assert_eq!(extracted.title.as_deref(), Some("Hours"));
    assert_eq!(
        outline(&extracted),
        [
            "[Hours] We open at\nnine. [Not on Sunday.]\n\n- Monday\n\nand more\n\n  - morning\n\nShop (https://shop.example)"
        ]
    );

    let cell = |text: &str| {
        format!("<table:table-cell office:value-type=\"string\"><text:p>{text}</text:p></table:table-cell>")
    };
    let body = format!(
        "<table:table table:name=\"Hours\"><table:table-row>{}{}</table:table-row>\
         <table:table-row><table:table-cell table:number-columns-repeated=\"1000000\"/>{}</table:table-row>\
         <table:table-row table:number-rows-repeated=\"1048570\"><table:table-cell table:number-columns-repeated=\"16384\"/>\
         </table:table-row></table:table>",
        cell("Day"),
        cell("Opens"),
        cell("far")
    );
    let extracted = read(odf("spreadsheet", &body), "a.ods");
    assert_eq!(
        outline(&extracted),
        ["[Hours @Hours!A1:BDWGO2] | Day | Opens |  |\n| --- | --- | --- |\n|  |  | far |"]
    );

    let body = "<draw:page><draw:frame presentation:class=\"outline\"><draw:text-box><text:p>Radio</text:p></draw:text-box></draw:frame>\
        <draw:frame presentation:class=\"title\"><draw:text-box><text:p>Budget</text:p></draw:text-box></draw:frame>\
        <presentation:notes><draw:frame><draw:text-box><text:p>Ask.</text:p></draw:text-box></draw:frame></presentation:notes></draw:page>";
    let extracted = read(odf("presentation", body), "a.odp");
    assert_eq!(outline(&extracted), ["[Budget @1] Radio\n\nNotes:\n\nAsk."]);
}

#[test]
fn a_book_is_its_chapters() {
    let extracted = read(epub(&["<h1>One</h1><p>First.</p>", "<p>Second.</p>"]), "a.epub");
    assert_eq!((extracted.title.as_deref(), extracted.language.as_deref()), (Some("A book"), Some("en")));
    assert_eq!(outline(&extracted), ["[One #epubcfi(/6/2)] First.", "[ #epubcfi(/6/4)] Second."]);
}

#[test]
fn a_mail_says_who_when_and_what_is_attached() {
    let mail = "From: =?utf-8?q?J=C3=B6rg?= <joerg@shop.example>\r\nTo: a@example.com, b@example.com\r\n\
        Subject: Delivery\r\nDate: Thu, 15 Jan 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\n<h1>News</h1><p>Kommt sp=E4ter</p>\r\n--x\r\n\
        Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"bill.pdf\"\r\n\r\n%PDF-\r\n--x--\r\n";
    let extracted = read(mail, "a.eml");
    assert_eq!(extracted.title.as_deref(), Some("Delivery"));
    assert_eq!(
        outline(&extracted),
        [
            "[] From: Jörg <joerg@shop.example>\nTo: a@example.com, b@example.com\nDate: 2026-01-15T10:00:00+01:00\nSubject: Delivery\n\n\
             Attachments: bill.pdf",
            "[News] Kommt später"
        ]
    );
    assert_eq!(extract("", "a.eml").unwrap_err().code, "damaged");
}

#[test]
fn rich_text_in_every_code_page() {
    let rtf = br"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial Cyr;}}
{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 heading 1;}}{\info{\title Terms}{\author X}}{\*\generator W;}
{\header\pard Page\par}
\pard\s1 Gr\'f6\'dfe\par
\pard\plain Caf\u233\'e9 \u8212 ? {\f1 \'cc\'e8\'f0}{\v secret}{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}\par
{\pntext 1.\tab}First\par
\pard\trowd\intbl A\cell B\cell\row\trowd\intbl 1\cell 2\cell\row
\pard End\par}";
    let extracted = read(rtf.as_slice(), "a.rtf");
    assert_eq!(extracted.title.as_deref(), Some("Terms"));
    assert_eq!(
        outline(&extracted),
        ["[Größe] Café — Мирlink\n\n1. First\n\n| A | B |\n| --- | --- |\n| 1 | 2 |\n\nEnd"]
    );
}

#[test]
fn a_pdf_page_is_a_section() {
    let first = "BT /F1 12 Tf 50 800 Td (Shipping is) Tj ( free) Tj 0 -14 Td [(within Eu) 20 (ro-)] TJ 0 -14 Td (pe.) Tj \
        0 -40 Td (Zone) Tj 200 0 Td (EUR) Tj ET /Artifact BMC BT /F1 9 Tf 300 20 Td (Page 1) Tj ET EMC";
    let extracted = read(pdf(&[first, "", "BT /F1 12 Tf 50 800 Td (Gr\\366\\337e) Tj ET"]), "a.pdf");
    assert_eq!(outline(&extracted), ["[ @1] Shipping is free\nwithin Europe.\n\nZone | EUR", "[ @3] Größe"]);
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let fails = |bytes: Vec<u8>, name: &str| {
        let failure = extract(bytes, name).unwrap_err();
        (failure.fault, failure.code, failure.message)
    };
    let (fault, code, message) = fails(pdf(&["", "0 0 10 10 re f"]), "scan.pdf");
    assert_eq!((fault, code.as_str()), (Fault::Unsupported, "no_text"));
    assert!(message.contains("OCR"), "{message}");

    let mut cut = docx("<w:p><w:r><w:t>x</w:t></w:r></w:p>");
    cut.truncate(cut.len() / 2);
    let (fault, code, message) = fails(cut, "a.docx");
    assert_eq!((fault, code.as_str()), (Fault::SourceContract, "damaged"));
    assert!(message.starts_with("The Word document is damaged: its ZIP container cannot be read"), "{message}");

    let (_, code, message) = fails(docx("<w:p><w:r>"), "a.docx");
    assert_eq!(code, "damaged");
    assert!(message.contains("XML"), "{message}");

    let manifest =
        "<manifest:manifest><manifest:file-entry><manifest:encryption-data/></manifest:file-entry></manifest:manifest>";
    let locked = zip(&[
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        ("META-INF/manifest.xml", manifest),
        ("content.xml", "\u{1}\u{2}"),
    ]);
    assert_eq!(fails(locked, "a.odt").1, "encrypted");

    assert!(fails(zip(&[("a.txt", "x")]), "a.zip").2.starts_with("A ZIP archive cannot be read."));
}
