//! Collects text under headings into sections, within the limits.

use tributary_plugin_sdk::{Extracted, Failure, Locator, Section};

use crate::{MAX_SECTIONS, MAX_TEXT_BYTES};

/// Longer headings are cut here, at a character.
const MAX_HEADING_BYTES: usize = 300;

/// Sections in the making.
#[derive(Default)]
pub(crate) struct Outline {
    sections: Vec<Section>,
    /// Open headings, outermost first, with their levels.
    headings: Vec<(u8, String)>,
    at: Option<Locator>,
    text: String,
    /// Bytes of text in `sections`.
    committed_bytes: usize,
    /// The first heading, and whether it is of level 1.
    first: Option<(bool, String)>,
    /// Whether the innermost heading already has text or headings below it.
    used: bool,
}

impl Outline {
    /// The text of the section being written.
    pub(crate) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// Bytes of text so far.
    pub(crate) fn text_bytes(&self) -> usize {
        self.committed_bytes + self.text.len()
    }

    /// Ends the section and starts one under this heading (level 1 to 6).
    pub(crate) fn heading(&mut self, level: u8, text: &str, at: Option<Locator>) {
        let text = heading_text(text);
        if text.is_empty() {
            return;
        }
        let deeper = self.headings.last().is_some_and(|(open, _)| *open < level);
        self.close(!deeper);
        while self.headings.last().is_some_and(|(open, _)| *open >= level) {
            self.headings.pop();
        }
        if self.first.is_none() {
            self.first = Some((level == 1, text.clone()));
        }
        self.headings.push((level, text));
        self.at = at;
        self.used = false;
    }

    /// Ends the section and goes on under the same headings at another place, such as the next page.
    pub(crate) fn split(&mut self, at: Option<Locator>) {
        if !trim(&self.text).is_empty() {
            self.close(false);
        }
        self.text.clear();
        self.at = at;
    }

    /// Adds a section made elsewhere.
    pub(crate) fn push(&mut self, section: Section) {
        self.split(None);
        if self.sections.len() <= MAX_SECTIONS && self.committed_bytes <= MAX_TEXT_BYTES {
            self.committed_bytes += section.text.len();
            self.sections.push(section);
        }
    }

    /// Whether a limit is passed, so that `finish` will refuse.
    pub(crate) fn is_full(&self) -> bool {
        self.text_bytes() > MAX_TEXT_BYTES || self.sections.len() > MAX_SECTIONS
    }

    /// The first heading, of whatever level.
    pub(crate) fn first_heading(&self) -> Option<&str> {
        self.first.as_ref().map(|(_, text)| text.as_str())
    }

    /// The first heading when it is of level 1.
    pub(crate) fn leading_h1(&self) -> Option<&str> {
        self.first.as_ref().filter(|(top, _)| *top).map(|(_, text)| text.as_str())
    }

    /// All of it, every section under its whole path of headings.
    ///
    /// # Errors
    /// `too-large` past the limits.
    pub(crate) fn finish(mut self, title: Option<String>, language: Option<String>) -> Result<Extracted, Failure> {
        self.close(true);
        if self.committed_bytes > MAX_TEXT_BYTES {
            return Err(too_much_text());
        }
        if self.sections.len() > MAX_SECTIONS {
            return Err(Failure::too_large(
                "too_many_sections",
                format!("It has more than {MAX_SECTIONS} sections. Split it into smaller documents."),
            ));
        }
        let title = title.map(|title| heading_text(&title)).filter(|title| !title.is_empty());
        Ok(Extracted { title, language, sections: self.sections })
    }

    /// Ends the section being written. A heading with nothing below it is kept as text, so that it can be found.
    fn close(&mut self, leaf: bool) {
        let text = trim(&self.text);
        let bare = text.is_empty() && leaf && !self.used;
        let text = match self.headings.last() {
            Some((_, heading)) if bare => heading.as_str(),
            _ => text,
        };
        self.used = true;
        // Past the limits nothing more is stored; `finish` turns that into a failure.
        if !text.is_empty() && self.sections.len() <= MAX_SECTIONS && self.committed_bytes <= MAX_TEXT_BYTES {
            let heading = self.headings.iter().map(|(_, text)| text.clone()).collect();
            self.committed_bytes += text.len();
            self.sections.push(Section { heading, text: text.to_owned(), at: self.at.clone() });
        }
        self.text.clear();
    }
}

/// Past the limit of text.
pub(crate) fn too_much_text() -> Failure {
    Failure::too_large(
        "text_too_large",
        format!("It has more than {MAX_TEXT_BYTES} bytes of text. Split it into smaller documents."),
    )
}

/// Without blank lines around it; the indentation of the first line stays.
fn trim(text: &str) -> &str {
    let text = text.trim_end();
    let start = text.len() - text.trim_start().len();
    &text[text[..start].rfind('\n').map_or(0, |at| at + 1)..]
}

/// One line, white space collapsed, at most `MAX_HEADING_BYTES`.
pub(crate) fn heading_text(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_HEADING_BYTES));
    for word in text.split_whitespace() {
        if line.len() + word.len() >= MAX_HEADING_BYTES {
            if line.is_empty() {
                line.push_str(&word[..word.floor_char_boundary(MAX_HEADING_BYTES)]);
            }
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_nest_and_an_empty_leaf_keeps_its_heading() {
        let mut outline = Outline::default();
        outline.text().push_str("intro");
        outline.heading(1, "Guide", None);
        outline.heading(2, "Shipping", None);
        outline.text().push_str("\n  fast\n");
        outline.heading(3, "Europe", None);
        outline.heading(2, "Returns", None);
        outline.text().push_str("30 days");
        let extracted = outline.finish(Some("Guide".into()), None).unwrap();
        let got: Vec<_> = extracted.sections.iter().map(|s| (s.heading.join("/"), s.text.as_str())).collect();
        assert_eq!(
            got,
            [
                (String::new(), "intro"),
                ("Guide/Shipping".into(), "  fast"),
                ("Guide/Shipping/Europe".into(), "Europe"),
                ("Guide/Returns".into(), "30 days")
            ]
        );
    }
}
