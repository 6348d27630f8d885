//! PowerPoint presentations (PresentationML, ECMA-376 part 1 §19): a section for each slide, with its number as page.
//! Hidden slides, and what repeats on every slide, are left out; the speaker's notes follow the slide.

use tributary_plugin_sdk::{Extracted, Failure, Locator};

use super::package;
use crate::{
    archive::Archive,
    rich::{Block, Rich, Tables},
    xml::{Step, Steps},
};

const WHAT: &str = "The PowerPoint presentation";

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, Failure> {
    let mut archive = Archive::open(bytes, WHAT)?;
    let main = package::main_part(&mut archive, "ppt/presentation.xml", WHAT)?;
    let relations = package::relations(&mut archive, &main, WHAT)?;
    let (title, language) = package::properties(&mut archive, WHAT)?;
    let mut rich = Rich::default();
    let mut first_title = None;
    for (place, id) in slide_ids(&archive.get_text(&main)?)?.into_iter().enumerate() {
        let Some(relation) = relations.iter().find(|relation| relation.id == id && !relation.is_external) else {
            continue;
        };
        let Some(source) = archive.find_text(&relation.target)? else { continue };
        let slide = read(&source)?;
        if slide.is_hidden {
            continue;
        }
        let number = u32::try_from(place + 1).unwrap_or(u32::MAX);
        first_title = first_title.or_else(|| slide.title.clone());
        rich.at(Some(Locator::Page(number)));
        rich.push(Block::Heading(1, slide.title.unwrap_or_else(|| format!("Slide {number}"))));
        slide.blocks.into_iter().for_each(|block| rich.push(block));
        let notes = package::relations(&mut archive, &relation.target, WHAT)?;
        if let Some(notes) = notes.into_iter().find(|relation| relation.kind == "notesSlide")
            && let Some(source) = archive.find_text(&notes.target)?
        {
            let notes = read(&source)?;
            if !notes.blocks.is_empty() {
                rich.push(Block::Paragraph("Notes:".into()));
                notes.blocks.into_iter().for_each(|block| rich.push(block));
            }
        }
        if rich.is_full() {
            break;
        }
    }
    rich.finish(title.filter(|title| title != "PowerPoint Presentation").or(first_title), language)
}

/// The relation ids of the slides, in their order.
fn slide_ids(source: &str) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    let mut steps = Steps::new(source, WHAT);
    while let Some(step) = steps.next()? {
        if let Step::Start(tag) = step
            && tag.name() == "sldId"
        {
            ids.extend(tag.find_qualified("r:id"));
        }
    }
    Ok(ids)
}

#[derive(Default)]
struct Slide {
    title: Option<String>,
    blocks: Vec<Block>,
    is_hidden: bool,
}

/// What a shape is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Title,
    /// Its paragraphs are items.
    Body,
    Other,
    /// Date, footer, number of the slide; on a page of notes also the picture of the slide.
    Furniture,
}

/// Reads a slide or a page of notes.
fn read(source: &str) -> Result<Slide, Failure> {
    let mut slide = Slide::default();
    let mut tables = Tables::default();
    let (mut role, mut in_text, mut left_out) = (Role::Other, false, 0_usize);
    let (mut text, mut depth, mut numbered) = (String::new(), 0_usize, false);
    let mut steps = Steps::new(source, WHAT);
    while let Some(step) = steps.next()? {
        match step {
            Step::Start(tag) if left_out > 0 || tag.name() == "Fallback" => left_out += 1,
            Step::End(_) if left_out > 0 => left_out -= 1,
            Step::Text(_) if left_out > 0 => {}
            Step::Start(tag) => match tag.name() {
                "sld" => slide.is_hidden = matches!(tag.find("show").as_deref(), Some("0" | "false")),
                "sp" => role = Role::Other,
                "ph" => {
                    role = match tag.find("type").as_deref() {
                        Some("title" | "ctrTitle") => Role::Title,
                        Some("dt" | "ftr" | "hdr" | "sldNum" | "sldImg") => Role::Furniture,
                        Some("body") | None => Role::Body,
                        Some(_) => Role::Other,
                    }
                }
                "p" => (depth, numbered) = (0, false),
                "pPr" => depth = tag.find("lvl").and_then(|level| level.parse().ok()).unwrap_or_default(),
                "buAutoNum" => numbered = true,
                "t" => in_text = true,
                "br" => text.push('\n'),
                "tbl" => tables.start(),
                "tr" => tables.row(),
                "tc" => tables.cell(),
                _ => {}
            },
            Step::Text(more) => {
                if in_text {
                    text.push_str(&more);
                }
            }
            Step::End(name) => match name.as_ref() {
                "t" => in_text = false,
                "p" => {
                    let text = std::mem::take(&mut text);
                    if text.trim().is_empty() || role == Role::Furniture {
                        continue;
                    }
                    if tables.is_open() {
                        tables.text(&text);
                    } else if role == Role::Title {
                        let title = slide.title.get_or_insert_default();
                        title.push_str(if title.is_empty() { "" } else { " " });
                        title.push_str(&text);
                    } else if role == Role::Body || numbered {
                        // The numbers themselves are counted by the program that shows them.
                        slide.blocks.push(Block::Item(depth, None, text));
                    } else {
                        slide.blocks.push(Block::Paragraph(text));
                    }
                }
                "tbl" => slide.blocks.extend(tables.end()),
                "sp" => role = Role::Other,
                _ => {}
            },
        }
        tables.check()?;
    }
    Ok(slide)
}
