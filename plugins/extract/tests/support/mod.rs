//! Small documents of every format, made here, and the shape in which tests compare what comes out.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::io::{Cursor, Write};

use tributary_plugin_sdk::{Extracted, Locator};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A ZIP container of these parts, the first one stored as the `mimetype` of books must be.
pub fn zip(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        let method = if *name == "mimetype" { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// `[heading/path @place] text` for each section.
pub fn outline(extracted: &Extracted) -> Vec<String> {
    let place = |at: &Option<Locator>| match at {
        Some(Locator::Page(page)) => format!(" @{page}"),
        Some(Locator::Cells((sheet, range))) => format!(" @{sheet}!{range}"),
        Some(Locator::Fragment(fragment)) => format!(" #{fragment}"),
        _ => String::new(),
    };
    let line = |section: &tributary_plugin_sdk::Section| {
        format!("[{}{}] {}", section.heading.join("/"), place(&section.at), section.text)
    };
    extracted.sections.iter().map(line).collect()
}

const W: &str = "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\" \
    xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"";

/// A Word document with this body.
pub fn docx(body: &str) -> Vec<u8> {
    let document = format!("<w:document {W}><w:body>{body}<w:sectPr/></w:body></w:document>");
    let relation = |id: &str, kind: &str, target: &str, mode: &str| {
        format!(
            "<Relationship Id=\"{id}\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}\" \
             Target=\"{target}\"{mode}/>"
        )
    };
    let package =
        format!("<Relationships>{}</Relationships>", relation("r1", "officeDocument", "word/document.xml", ""));
    let relations = format!(
        "<Relationships>{}{}{}{}</Relationships>",
        relation("s", "styles", "styles.xml", ""),
        relation("n", "numbering", "numbering.xml", ""),
        relation("f", "footnotes", "footnotes.xml", ""),
        relation("link", "hyperlink", "https://shop.example/returns", " TargetMode=\"External\""),
    );
    let styles = format!(
        "<w:styles {W}><w:style w:styleId=\"Titel\"><w:name w:val=\"Title\"/></w:style>\
         <w:style w:styleId=\"berschrift1\"><w:name w:val=\"heading 1\"/></w:style>\
         <w:style w:styleId=\"Verzeichnis1\"><w:name w:val=\"toc 1\"/></w:style></w:styles>"
    );
    let numbering = format!(
        "<w:numbering {W}><w:abstractNum w:abstractNumId=\"0\"><w:lvl w:ilvl=\"0\"><w:numFmt w:val=\"decimal\"/></w:lvl>\
         <w:lvl w:ilvl=\"1\"><w:numFmt w:val=\"bullet\"/></w:lvl></w:abstractNum>\
         <w:num w:numId=\"3\"><w:abstractNumId w:val=\"0\"/></w:num></w:numbering>"
    );
    let footnotes = format!(
        "<w:footnotes {W}><w:footnote w:id=\"-1\"><w:p/></w:footnote>\
         <w:footnote w:id=\"1\"><w:p><w:r><w:t>Except spare parts.</w:t></w:r></w:p></w:footnote></w:footnotes>"
    );
    zip(&[
        ("[Content_Types].xml", "<Types/>"),
        ("_rels/.rels", &package),
        ("word/document.xml", &document),
        ("word/_rels/document.xml.rels", &relations),
        ("word/styles.xml", &styles),
        ("word/numbering.xml", &numbering),
        ("word/footnotes.xml", &footnotes),
    ])
}

/// An Excel workbook with one sheet `Prices` of these rows.
pub fn xlsx(rows: &str) -> Vec<u8> {
    const MAIN: &str = "xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" \
        xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"";
    const KIND: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let sheet = format!("<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>");
    let workbook =
        format!("<workbook {MAIN}><sheets><sheet name=\"Prices\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>");
    let package = format!(
        "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
         <Relationship Id=\"rId1\" Type=\"{KIND}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
    );
    let relations = format!(
        "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
         <Relationship Id=\"rId1\" Type=\"{KIND}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
    );
    zip(&[
        ("[Content_Types].xml", "<Types/>"),
        ("_rels/.rels", &package),
        ("xl/workbook.xml", &workbook),
        ("xl/_rels/workbook.xml.rels", &relations),
        ("xl/worksheets/sheet1.xml", &sheet),
    ])
}

/// A PowerPoint presentation of these slides (the shapes of each), the last one hidden.
pub fn pptx(slides: &[&str]) -> Vec<u8> {
    const KIND: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let ids: String = (1..=slides.len()).map(|n| format!("<p:sldId id=\"{n}\" r:id=\"s{n}\"/>")).collect();
    let presentation =
        format!("<p:presentation xmlns:p=\"p\" xmlns:r=\"r\"><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>");
    let relations: String = (1..=slides.len())
        .map(|n| format!("<Relationship Id=\"s{n}\" Type=\"{KIND}/slide\" Target=\"slides/slide{n}.xml\"/>"))
        .collect();
    let relations = format!("<Relationships>{relations}</Relationships>");
    let mut parts = vec![
        ("ppt/presentation.xml".to_owned(), presentation),
        ("ppt/_rels/presentation.xml.rels".to_owned(), relations),
    ];
    for (place, shapes) in slides.iter().enumerate() {
        let hidden = if slides.len() > 1 && place == slides.len() - 1 { " show=\"0\"" } else { "" };
        let slide = format!(
            "<p:sld xmlns:p=\"p\" xmlns:a=\"a\"{hidden}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
        );
        parts.push((format!("ppt/slides/slide{}.xml", place + 1), slide));
    }
    let parts: Vec<_> = parts.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
    zip(&parts)
}

/// An OpenDocument file (`text`, `spreadsheet` or `presentation`) with this body.
pub fn odf(kind: &str, body: &str) -> Vec<u8> {
    let content = format!(
        "<office:document-content xmlns:office=\"o\" xmlns:text=\"t\" xmlns:table=\"tb\" xmlns:draw=\"d\" \
         xmlns:presentation=\"pr\" xmlns:xlink=\"x\"><office:body><office:{kind}>{body}</office:{kind}></office:body>\
         </office:document-content>"
    );
    zip(&[("mimetype", &format!("application/vnd.oasis.opendocument.{kind}")), ("content.xml", &content)])
}

/// A book of these chapters.
pub fn epub(chapters: &[&str]) -> Vec<u8> {
    let items: String = (0..chapters.len())
        .map(|n| format!("<item id=\"c{n}\" href=\"Text/chapter%20{n}.xhtml\" media-type=\"application/xhtml+xml\"/>"))
        .collect();
    let spine: String = (0..chapters.len()).map(|n| format!("<itemref idref=\"c{n}\"/>")).collect();
    let package = format!(
        "<package><metadata xmlns:dc=\"dc\"><dc:title>A book</dc:title><dc:language>en</dc:language></metadata>\
         <manifest>{items}</manifest><spine>{spine}</spine></package>"
    );
    let container = "<container><rootfiles><rootfile full-path=\"OPS/book.opf\"/></rootfiles></container>";
    let mut parts = vec![
        ("mimetype".to_owned(), "application/epub+zip".to_owned()),
        ("META-INF/container.xml".to_owned(), container.to_owned()),
        ("OPS/book.opf".to_owned(), package),
    ];
    for (place, chapter) in chapters.iter().enumerate() {
        parts.push((format!("OPS/Text/chapter {place}.xhtml"), format!("<html><body>{chapter}</body></html>")));
    }
    let parts: Vec<_> = parts.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
    zip(&parts)
}

/// A PDF whose pages have these contents, with Helvetica as `/F1` and the first page's own content as form `/Fm`.
pub fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    let mut kids = String::new();
    for content in pages {
        let stream = objects.len() + 1;
        objects.push(format!(
            "<< /Type /XObject /Subtype /Form /BBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> \
             /XObject << /Fm {stream} 0 R >> >> /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ));
        kids.push_str(&format!("{} 0 R ", stream + 1));
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {stream} 0 R \
             /Resources << /Font << /F1 3 0 R >> /XObject << /Fm {stream} 0 R >> >> >>"
        ));
    }
    objects[1] = format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", pages.len());
    let mut out = "%PDF-1.7\n".to_owned();
    let mut offsets = Vec::new();
    for (place, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", place + 1));
    }
    let table = out.len();
    out.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    offsets.iter().for_each(|offset| out.push_str(&format!("{offset:010} 00000 n \n")));
    out.push_str(&format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n", objects.len() + 1));
    out.into_bytes()
}
