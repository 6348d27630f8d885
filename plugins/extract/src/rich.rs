//! Headings, paragraphs, list items and tables, from whatever wrote them, into sections.

use tributary_plugin_sdk::{Extracted, Failure, Locator};

use crate::{
    MAX_TEXT_BYTES,
    flow::Flow,
    outline::{Outline, too_much_text},
};

/// Deeper list items are shown as this deep.
const MAX_LIST_DEPTH: usize = 16;
/// Cells of one row; more are left out.
const MAX_COLUMNS: usize = 256;

/// What a cell or row counts for, however empty.
const CELL_BYTES: usize = 8;

/// A piece of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Level 1 to 6 and the text.
    Heading(u8, String),
    Paragraph(String),
    /// Depth from 0, the number when it has one, and the text.
    Item(usize, Option<u64>, String),
    /// Rows of cells.
    Table(Vec<Vec<String>>),
}

/// Writes blocks.
#[derive(Default)]
pub(crate) struct Rich {
    pub(crate) outline: Outline,
    flow: Flow,
    at: Option<Locator>,
    in_list: bool,
}

impl Rich {
    /// Where what follows stands.
    pub(crate) fn at(&mut self, at: Option<Locator>) {
        self.outline.split(at.clone());
        self.flow.reset();
        self.at = at;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.outline.is_full()
    }

    pub(crate) fn push(&mut self, block: Block) {
        let was_in_list = std::mem::replace(&mut self.in_list, matches!(block, Block::Item(..)));
        if was_in_list && !self.in_list {
            self.flow.blank();
        }
        match block {
            Block::Heading(level, text) => {
                self.outline.heading(level.clamp(1, 6), &text, self.at.clone());
                self.flow.reset();
            }
            Block::Paragraph(text) => {
                self.flow.blank();
                self.lines(&text);
                self.flow.blank();
            }
            Block::Item(depth, number, text) => {
                if text.trim().is_empty() {
                    return;
                }
                if !was_in_list {
                    self.flow.blank();
                }
                self.flow.marker(self.outline.text(), depth.min(MAX_LIST_DEPTH), number);
                self.lines(&text);
                self.flow.line();
            }
            Block::Table(rows) => self.table(rows),
        }
    }

    /// # Errors
    /// `too-large` past the limits.
    pub(crate) fn finish(self, title: Option<String>, language: Option<String>) -> Result<Extracted, Failure> {
        let title = title.filter(|title| !title.trim().is_empty());
        let title = title.or_else(|| self.outline.leading_h1().map(str::to_owned));
        self.outline.finish(title, language)
    }

    fn lines(&mut self, text: &str) {
        for line in text.lines() {
            self.flow.inline(self.outline.text(), line);
            self.flow.line();
        }
    }

    /// A table with one column only places things on a page.
    fn table(&mut self, rows: Vec<Vec<String>>) {
        if rows.iter().all(|row| row.len() < 2) {
            for text in rows.into_iter().flatten() {
                self.push(Block::Paragraph(text));
            }
            return;
        }
        self.flow.blank();
        let table = markdown_table(&rows);
        self.flow.raw(self.outline.text(), table.trim_end());
        self.flow.blank();
    }
}

/// A Markdown table; the first row is its header. Empty for no rows.
pub(crate) fn markdown_table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default().min(MAX_COLUMNS);
    let mut out = String::new();
    for (place, row) in rows.iter().enumerate() {
        // The header has all columns; rows may be shorter.
        for column in 0..if place == 0 { columns } else { row.len().min(columns) } {
            out.push_str("| ");
            push_cell(&mut out, row.get(column).map_or("", String::as_str));
            out.push(' ');
        }
        out.push_str("|\n");
        if place == 0 {
            out.push_str(&"| --- ".repeat(columns));
            out.push_str("|\n");
        }
    }
    out
}

/// One line, with the bar escaped.
fn push_cell(out: &mut String, text: &str) {
    for (place, word) in text.split_whitespace().enumerate() {
        if place > 0 {
            out.push(' ');
        }
        if word.contains('|') {
            out.push_str(&word.replace('|', "\\|"));
        } else {
            out.push_str(word);
        }
    }
}

/// Tables in the making. What stands inside a cell is text of the cell, tables too.
#[derive(Default)]
pub(crate) struct Tables {
    rows: Vec<Vec<String>>,
    depth: usize,
    bytes: usize,
}

impl Tables {
    /// Whether text goes into a cell.
    pub(crate) fn is_open(&self) -> bool {
        self.depth > 0
    }

    pub(crate) fn start(&mut self) {
        self.depth += 1;
    }

    /// # Errors
    /// `too-large`, for a table with more cells or text than a document may have.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.bytes > MAX_TEXT_BYTES { Err(too_much_text()) } else { Ok(()) }
    }

    pub(crate) fn row(&mut self) {
        if self.depth == 1 && self.rows.last().is_none_or(|row| !row.is_empty()) {
            self.bytes += CELL_BYTES;
            self.rows.push(Vec::new());
        }
    }

    pub(crate) fn cell(&mut self) {
        if self.depth != 1 {
            return;
        }
        if self.rows.is_empty() {
            self.rows.push(Vec::new());
        }
        if let Some(row) = self.rows.last_mut()
            && row.len() < MAX_COLUMNS
        {
            self.bytes += CELL_BYTES;
            row.push(String::new());
        }
    }

    /// Adds a paragraph to the open cell.
    pub(crate) fn text(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.bytes += text.len() + 1;
        if self.rows.last().is_none_or(Vec::is_empty) {
            let depth = std::mem::replace(&mut self.depth, 1);
            self.cell();
            self.depth = depth;
        }
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            if !cell.is_empty() {
                cell.push(' ');
            }
            cell.push_str(text);
        }
    }

    /// The rows, once the outermost table has ended.
    pub(crate) fn end(&mut self) -> Option<Block> {
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 0 {
            return None;
        }
        self.bytes = 0;
        let mut rows = std::mem::take(&mut self.rows);
        rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
        (!rows.is_empty()).then_some(Block::Table(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_markdown_with_a_header() {
        let rows = [vec!["Zone".into(), "Price | EUR".into()], vec!["EU\n1".into()]];
        assert_eq!(markdown_table(&rows), "| Zone | Price \\| EUR |\n| --- | --- |\n| EU 1 |\n");
    }

    #[test]
    fn a_table_in_a_cell_is_text_of_the_cell() {
        let mut tables = Tables::default();
        tables.start();
        tables.row();
        tables.cell();
        tables.text("a");
        tables.start();
        tables.row();
        tables.cell();
        tables.text("b");
        assert_eq!(tables.end(), None);
        tables.cell();
        tables.text("c");
        assert_eq!(tables.end(), Some(Block::Table(vec![vec!["a b".into(), "c".into()]])));
        assert!(!tables.is_open());
    }
}
