//! Word documents (WordprocessingML, ECMA-376 part 1 §17): headings by style or outline level, lists, tables, links,
//! foot- and endnotes. Text that was deleted, tables of contents and page headers are left out.

use std::collections::BTreeMap;

use tributary_plugin_sdk::{Extracted, Failure};

use super::package::{self, Relation};
use crate::{
    archive::Archive,
    rich::{Block, Rich, Tables},
    xml::{Step, Steps, Tag},
};

const WHAT: &str = "The Word document";

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, Failure> {
    let mut archive = Archive::open(bytes, WHAT)?;
    let main = package::main_part(&mut archive, "word/document.xml", WHAT)?;
    let relations = package::relations(&mut archive, &main, WHAT)?;
    let part = |kind: &str| relations.iter().find(|relation| relation.kind == kind).map(|found| found.target.clone());
    let styles = match part("styles") {
        Some(name) => styles(&archive.find_text(&name)?.unwrap_or_default())?,
        None => BTreeMap::new(),
    };
    let numbering = match part("numbering") {
        Some(name) => numbering(&archive.find_text(&name)?.unwrap_or_default())?,
        None => BTreeMap::new(),
    };
    let (title, language) = package::properties(&mut archive, WHAT)?;

    let mut body = Body {
        styles: &styles,
        numbering: &numbering,
        links: &relations,
        rich: Rich::default(),
        title,
        tables: Tables::default(),
        open: Vec::new(),
        counters: BTreeMap::new(),
    };
    body.read(&archive.get_text(&main)?)?;
    for kind in ["footnotes", "endnotes"] {
        if let Some(name) = part(kind)
            && let Some(notes) = archive.find_text(&name)?
        {
            body.read(&notes)?;
        }
    }
    let title = body.title;
    body.rich.finish(title, language)
}

/// What a paragraph style means.
#[derive(Clone, Copy, Default)]
struct Style {
    /// 1 to 9.
    heading: Option<u8>,
    is_title: bool,
    /// An entry of a table of contents.
    is_contents: bool,
    /// Items of this list and depth.
    list: Option<(u32, usize)>,
}

/// Style ids to what they mean, by the built-in names, which are English in every language of Word.
fn styles(source: &str) -> Result<BTreeMap<String, Style>, Failure> {
    let mut styles = BTreeMap::new();
    let mut open: Option<(String, Style)> = None;
    let (mut list, mut depth) = (None, 0);
    let mut steps = Steps::new(source, WHAT);
    while let Some(step) = steps.next()? {
        match step {
            Step::Start(tag) => match (tag.name(), &mut open) {
                ("style", _) => {
                    (list, depth) = (None, 0);
                    open = tag.find("styleId").map(|id| (id, Style::default()));
                }
                ("name", Some((_, style))) => {
                    let name = tag.find("val").unwrap_or_default().to_ascii_lowercase();
                    style.heading = name.strip_prefix("heading ").and_then(|level| level.parse().ok());
                    style.is_title = name == "title";
                    style.is_contents = name.starts_with("toc ") && name != "toc heading";
                }
                ("outlineLvl", Some((_, style))) => style.heading = style.heading.or(outline_level(&tag)),
                ("numId", Some(_)) => list = number(&tag),
                ("ilvl", Some(_)) => depth = number(&tag).unwrap_or_default() as usize,
                _ => {}
            },
            Step::End(name) if name == "style" => {
                if let Some((id, mut style)) = open.take() {
                    style.list = list.map(|list| (list, depth));
                    styles.insert(id, style);
                }
            }
            _ => {}
        }
    }
    Ok(styles)
}

fn number(tag: &Tag<'_>) -> Option<u32> {
    tag.find("val")?.parse().ok()
}

/// 0 to 8 are levels; 9 is body text.
fn outline_level(tag: &Tag<'_>) -> Option<u8> {
    number(tag).filter(|level| *level < 9).map(|level| level as u8 + 1)
}

/// Which levels of which lists are numbered: `numId` to a mask of levels.
fn numbering(source: &str) -> Result<BTreeMap<u32, u16>, Failure> {
    let mut abstracts: BTreeMap<u32, u16> = BTreeMap::new();
    let mut lists = BTreeMap::new();
    let (mut open_abstract, mut open_list, mut level) = (None, None, 0_u32);
    let mut steps = Steps::new(source, WHAT);
    while let Some(step) = steps.next()? {
        let Step::Start(tag) = step else { continue };
        let attribute = |name: &str| tag.find(name).and_then(|value| value.parse::<u32>().ok());
        match tag.name() {
            "abstractNum" => (open_abstract, open_list) = (attribute("abstractNumId"), None),
            "num" => (open_abstract, open_list) = (None, attribute("numId")),
            "lvl" => level = attribute("ilvl").unwrap_or_default(),
            "numFmt" => {
                let format = tag.find("val").unwrap_or_default();
                if let Some(id) = open_abstract
                    && level < 16
                    && !matches!(format.as_str(), "bullet" | "none")
                {
                    *abstracts.entry(id).or_default() |= 1 << level;
                }
            }
            "abstractNumId" => {
                if let (Some(list), Some(id)) = (open_list, number(&tag)) {
                    lists.insert(list, abstracts.get(&id).copied().unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    Ok(lists)
}

#[derive(Default)]
struct Paragraph {
    text: String,
    style: Style,
    heading: Option<u8>,
    list: Option<u32>,
    depth: Option<usize>,
}

/// The text being read.
struct Body<'a> {
    styles: &'a BTreeMap<String, Style>,
    numbering: &'a BTreeMap<u32, u16>,
    links: &'a [Relation],
    rich: Rich,
    title: Option<String>,
    tables: Tables,
    /// Paragraphs inside each other: a text box stands in one.
    open: Vec<Paragraph>,
    /// Next number of each level, by list.
    counters: BTreeMap<u32, [u64; 16]>,
}

impl Body<'_> {
    fn read(&mut self, source: &str) -> Result<(), Failure> {
        let mut steps = Steps::new(source, WHAT);
        let (mut in_text, mut left_out, mut properties) = (false, 0_usize, 0_usize);
        let mut link = None;
        let mut note = None;
        while let Some(step) = steps.next()? {
            match step {
                Step::Start(tag) if left_out > 0 || is_left_out(&tag) => left_out += 1,
                Step::End(_) if left_out > 0 => left_out -= 1,
                Step::Text(_) if left_out > 0 => {}
                Step::Start(tag) => match tag.name() {
                    "t" => in_text = true,
                    "p" => {
                        let mut paragraph = Paragraph::default();
                        if let Some(id) = note.take() {
                            paragraph.text = format!("[{id}] ");
                        }
                        self.open.push(paragraph);
                    }
                    "pPr" => properties += 1,
                    "tab" if properties == 0 => self.text("\t"),
                    "br" | "cr" => self.text("\n"),
                    "noBreakHyphen" => self.text("-"),
                    "hyperlink" => link = tag.find_qualified("r:id"),
                    "footnoteReference" | "endnoteReference" => {
                        if let Some(id) = tag.find("id") {
                            self.text(&format!("[{id}]"));
                        }
                    }
                    // Separators have ids up to 0.
                    "footnote" | "endnote" => {
                        note = tag.find("id").filter(|id| id.parse().is_ok_and(|id: i64| id > 0));
                    }
                    "tbl" => self.tables.start(),
                    "tr" => self.tables.row(),
                    "tc" => self.tables.cell(),
                    _ if properties > 0 => self.property(&tag),
                    _ => {}
                },
                Step::Text(text) => {
                    if in_text {
                        self.text(&text);
                    }
                }
                Step::End(name) => match name.as_ref() {
                    "t" => in_text = false,
                    "pPr" => properties = properties.saturating_sub(1),
                    "hyperlink" => {
                        if let Some(id) = link.take() {
                            self.end_link(&id);
                        }
                    }
                    "p" => {
                        if let Some(paragraph) = self.open.pop() {
                            self.end_paragraph(paragraph);
                        }
                    }
                    "tbl" => {
                        if let Some(table) = self.tables.end() {
                            self.rich.push(table);
                        }
                    }
                    _ => {}
                },
            }
            self.tables.check()?;
            if self.rich.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if let Some(paragraph) = self.open.last_mut() {
            paragraph.text.push_str(text);
        }
    }

    fn property(&mut self, tag: &Tag<'_>) {
        let Some(paragraph) = self.open.last_mut() else { return };
        match tag.name() {
            "pStyle" => {
                let style = tag.find("val").and_then(|id| self.styles.get(&id));
                paragraph.style = style.copied().unwrap_or_default();
            }
            "outlineLvl" => paragraph.heading = outline_level(tag),
            "numId" => paragraph.list = number(tag),
            "ilvl" => paragraph.depth = number(tag).map(|depth| depth as usize),
            _ => {}
        }
    }

    fn end_link(&mut self, id: &str) {
        let Some(relation) = self.links.iter().find(|relation| relation.is_external && relation.id == id) else {
            return;
        };
        if let Some(paragraph) = self.open.last_mut() {
            super::append_link(&mut paragraph.text, &relation.target);
        }
    }

    fn end_paragraph(&mut self, paragraph: Paragraph) {
        let Paragraph { text, style, heading, list, depth } = paragraph;
        if style.is_contents || text.trim().is_empty() {
            return;
        }
        if self.tables.is_open() {
            return self.tables.text(&text);
        }
        // The title of the document stands above all its sections and in none.
        if style.is_title && self.title.as_deref().is_none_or(|title| title.trim() == text.trim()) {
            self.title = Some(text);
            return;
        }
        // A text box comes before the paragraph it hangs on.
        let list = list.or(style.list.map(|(list, _)| list)).filter(|list| *list > 0);
        let block = match (heading.or(style.heading), list) {
            (Some(level), _) => Block::Heading(level, text),
            (None, Some(list)) => {
                let depth = depth.or(style.list.map(|(_, depth)| depth)).unwrap_or_default().min(15);
                let number = self.next_number(list, depth);
                Block::Item(depth, number, text)
            }
            (None, None) => Block::Paragraph(text),
        };
        self.rich.push(block);
    }

    fn next_number(&mut self, list: u32, depth: usize) -> Option<u64> {
        let numbered = self.numbering.get(&list)?;
        let counters = self.counters.entry(list).or_default();
        counters[depth + 1..].fill(0);
        counters[depth] += 1;
        (numbered >> depth & 1 == 1).then_some(counters[depth])
    }
}

/// What the reader of the document does not see, or sees twice.
fn is_left_out(tag: &Tag<'_>) -> bool {
    matches!(tag.name(), "Fallback" | "del" | "moveFrom" | "instrText" | "sectPr" | "rPr" | "tblPr" | "tcPr")
}
