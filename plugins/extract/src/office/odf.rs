//! OpenDocument texts, presentations and spreadsheets (ODF 1.3): one part, `content.xml`, holds what people see.

use tributary_plugin_sdk::{Extracted, Failure, Locator};

use super::{
    package::title_and_language,
    sheet::{Cell, Sheet},
};
use crate::{
    archive::Archive,
    fault,
    rich::{Block, Rich, Tables},
    xml::{Step, Steps, Tag},
};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Presentation,
    Spreadsheet,
}

impl Kind {
    fn what(self) -> &'static str {
        match self {
            Self::Text => "The OpenDocument text",
            Self::Presentation => "The OpenDocument presentation",
            Self::Spreadsheet => "The OpenDocument spreadsheet",
        }
    }
}

pub(crate) fn extract(bytes: &[u8], kind: Kind) -> Result<Extracted, Failure> {
    let what = kind.what();
    let mut archive = Archive::open(bytes, what)?;
    let manifest = archive.find_text("META-INF/manifest.xml")?.unwrap_or_default();
    if manifest.contains("encryption-data") {
        return Err(fault::encrypted(what));
    }
    let meta = archive.find_text("meta.xml")?.unwrap_or_default();
    let (title, language) = title_and_language(&meta, what)?;
    let content = archive.get_text("content.xml")?;
    if kind == Kind::Spreadsheet {
        return spreadsheet(&content, title, language);
    }
    let mut body = Body::new(kind);
    body.read(&content)?;
    let title = title.or(body.title);
    body.rich.finish(title, language)
}

/// A text or a presentation being read.
struct Body {
    kind: Kind,
    rich: Rich,
    title: Option<String>,
    tables: Tables,
    /// Paragraphs inside each other (a text box stands in one), with the level of a heading.
    open: Vec<(String, Option<u8>)>,
    /// Of each open list, whether its current item still waits for its first paragraph.
    lists: Vec<bool>,
    slides: u32,
    /// The blocks of the current slide, whose title may come last.
    slide: Option<(Option<String>, Vec<Block>)>,
    in_title: bool,
}

impl Body {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            rich: Rich::default(),
            title: None,
            tables: Tables::default(),
            open: Vec::new(),
            lists: Vec::new(),
            slides: 0,
            slide: None,
            in_title: false,
        }
    }

    fn read(&mut self, source: &str) -> Result<(), Failure> {
        let mut steps = Steps::new(source, self.kind.what());
        let mut left_out = 0_usize;
        let mut links = Vec::new();
        while let Some(step) = steps.next()? {
            match step {
                Step::Start(tag) if left_out > 0 || is_left_out(&tag) => left_out += 1,
                Step::End(_) if left_out > 0 => left_out -= 1,
                Step::Text(_) if left_out > 0 => {}
                Step::Start(tag) => {
                    if tag.name() == "a" {
                        links.push(tag.find("href"));
                    }
                    self.start(&tag);
                }
                // Line ends of the file are white space.
                Step::Text(text) => self.text(&text.replace(['\n', '\r'], " ")),
                Step::End(name) => {
                    if name == "a"
                        && let Some(Some(address)) = links.pop()
                        && let Some((text, _)) = self.open.last_mut()
                    {
                        super::append_link(text, &address);
                    }
                    self.end(&name);
                }
            }
            self.tables.check()?;
            if self.rich.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag.name() {
            "h" => {
                let level = tag.find("outline-level").and_then(|level| level.parse().ok());
                self.open.push((String::new(), Some(level.unwrap_or(1))));
            }
            "p" => self.open.push((String::new(), None)),
            "tab" => self.text("\t"),
            "s" => self.text(" "),
            "line-break" => self.text("\n"),
            "note" => self.text(" ["),
            "list" => self.lists.push(false),
            "list-item" => self.lists.iter_mut().last().into_iter().for_each(|fresh| *fresh = true),
            "table" => self.tables.start(),
            "table-row" => self.tables.row(),
            "table-cell" => self.tables.cell(),
            "page" => {
                self.slides += 1;
                self.slide = Some((None, Vec::new()));
            }
            "frame" => self.in_title = tag.find("class").as_deref() == Some("title"),
            "notes" => self.push(Block::Paragraph("Notes:".into())),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "h" | "p" => {
                if let Some((text, level)) = self.open.pop() {
                    self.end_paragraph(text, level);
                }
            }
            "note" => self.text("]"),
            "list" => {
                self.lists.pop();
            }
            "table" => {
                if let Some(table) = self.tables.end() {
                    self.push(table);
                }
            }
            "frame" => self.in_title = false,
            "page" => self.end_slide(),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((open, _)) = self.open.last_mut() {
            open.push_str(text);
        }
    }

    fn push(&mut self, block: Block) {
        match &mut self.slide {
            Some((_, blocks)) => blocks.push(block),
            None => self.rich.push(block),
        }
    }

    fn end_paragraph(&mut self, text: String, level: Option<u8>) {
        if text.trim().is_empty() {
            return;
        }
        // What a note holds stands inside the paragraph it belongs to.
        if let Some((outer, _)) = self.open.last_mut() {
            outer.push_str(&text);
            return;
        }
        if self.tables.is_open() {
            return self.tables.text(&text);
        }
        if self.in_title
            && let Some((title, _)) = &mut self.slide
        {
            let title = title.get_or_insert_default();
            title.push_str(if title.is_empty() { "" } else { " " });
            title.push_str(&text);
            return;
        }
        let depth = self.lists.len();
        let begins_item = self.lists.last_mut().is_some_and(std::mem::take);
        let block = match level {
            Some(level) => Block::Heading(level, text),
            None if begins_item => Block::Item(depth - 1, None, text),
            None => Block::Paragraph(text),
        };
        self.push(block);
    }

    fn end_slide(&mut self) {
        let Some((title, mut blocks)) = self.slide.take() else { return };
        if blocks.last() == Some(&Block::Paragraph("Notes:".into())) {
            blocks.pop();
        }
        if self.title.is_none() {
            self.title.clone_from(&title);
        }
        self.rich.at(Some(Locator::Page(self.slides)));
        self.rich.push(Block::Heading(1, title.unwrap_or_else(|| format!("Slide {}", self.slides))));
        blocks.into_iter().for_each(|block| self.rich.push(block));
    }
}

/// What the reader of the document does not see, or sees twice: the tables of contents repeat the headings.
fn is_left_out(tag: &Tag<'_>) -> bool {
    matches!(
        tag.name(),
        "tracked-changes"
            | "table-of-content"
            | "annotation"
            | "note-citation"
            | "automatic-styles"
            | "date-time"
            | "page-number"
            | "ruby-text"
            | "page-thumbnail"
    )
}

/// Values repeated more often than this, as fill of a whole sheet, are kept this often.
const MAX_REPEATS: u32 = 64;

fn spreadsheet(source: &str, title: Option<String>, language: Option<String>) -> Result<Extracted, Failure> {
    let mut rich = Rich::default();
    let mut sheet: Option<Sheet> = None;
    let mut steps = Steps::new(source, Kind::Spreadsheet.what());
    let (mut row, mut column) = (0_u32, 0_u32);
    let (mut row_repeats, mut column_repeats) = (1, 1);
    let mut cells: Vec<Cell> = Vec::new();
    let mut open: Option<(String, bool)> = None;
    let mut left_out = 0_usize;
    let repeats = |tag: &Tag<'_>, name: &str| tag.find(name).and_then(|n| n.parse::<u32>().ok()).unwrap_or(1).max(1);
    while let Some(step) = steps.next()? {
        match step {
            Step::Start(tag) if left_out > 0 || is_left_out(&tag) || tag.name() == "shapes" => left_out += 1,
            Step::End(_) if left_out > 0 => left_out -= 1,
            Step::Text(_) if left_out > 0 => {}
            Step::Start(tag) => match tag.name() {
                "table" => {
                    sheet = Some(Sheet::new(&tag.find("name").unwrap_or_default()));
                    row = 0;
                }
                "table-row" => {
                    (column, row_repeats) = (0, repeats(&tag, "number-rows-repeated"));
                    cells.clear();
                }
                "table-cell" | "covered-table-cell" => {
                    column_repeats = repeats(&tag, "number-columns-repeated");
                    let is_text = matches!(tag.find("value-type").as_deref(), None | Some("string"));
                    open = Some((String::new(), is_text));
                }
                "p" | "tab" | "s" | "line-break" => {
                    if let Some((text, _)) = &mut open
                        && !text.is_empty()
                    {
                        text.push(' ');
                    }
                }
                _ => {}
            },
            Step::Text(more) => {
                if let Some((text, _)) = &mut open {
                    text.push_str(&more);
                }
            }
            Step::End(name) => match name.as_ref() {
                "table-cell" | "covered-table-cell" => {
                    if let Some((text, is_text)) = open.take()
                        && !text.trim().is_empty()
                    {
                        for place in 0..column_repeats.min(MAX_REPEATS) {
                            cells.push(Cell { column: column.saturating_add(place), text: text.clone(), is_text });
                        }
                    }
                    column = column.saturating_add(column_repeats);
                }
                "table-row" => {
                    if let Some(sheet) = &mut sheet
                        && !cells.is_empty()
                    {
                        for place in 0..row_repeats.min(MAX_REPEATS) {
                            sheet.row(&mut rich, row.saturating_add(place), cells.clone());
                        }
                    }
                    row = row.saturating_add(row_repeats);
                }
                "table" => {
                    if let Some(sheet) = sheet.take() {
                        sheet.end(&mut rich);
                    }
                }
                _ => {}
            },
        }
        if rich.is_full() {
            break;
        }
    }
    // The name of the first sheet is no title.
    rich.outline.finish(title, language)
}
