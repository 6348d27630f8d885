//! Rows of a worksheet into sections: tables of a few dozen rows, each under the header, each with its range of cells.
//!
//! Only cells that hold something are kept, so the size a sheet claims costs nothing.

use std::collections::BTreeSet;

use tributary_plugin_sdk::Locator;

use crate::rich::{Block, Rich};

/// A block ends when its text is about as long as a passage of search.
const BLOCK_BYTES: usize = 1_200;
/// Cells of one block, empty ones between others included.
const BLOCK_CELLS: usize = 4_000;
/// The longest text of one cell, in bytes; Excel allows 32,767 characters.
const MAX_CELL_BYTES: usize = 128 << 10;
/// The longest name of a sheet that a locator holds, in bytes; Excel allows 31 characters.
const MAX_NAME_BYTES: usize = 200;

/// A cell that holds something.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// From 0.
    pub(super) column: u32,
    pub(super) text: String,
    /// Not a number, date or truth value: a row of these can be a header.
    pub(super) is_text: bool,
}

struct Row {
    /// From 0.
    number: u32,
    cells: Vec<Cell>,
}

/// A sheet being read, rows in ascending order.
pub(super) struct Sheet {
    name: String,
    header: Option<Row>,
    rows: Vec<Row>,
    bytes: usize,
    columns: BTreeSet<u32>,
    started: bool,
    /// The last row seen.
    last: Option<u32>,
}

impl Sheet {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name[..name.floor_char_boundary(MAX_NAME_BYTES)].to_owned(),
            header: None,
            rows: Vec::new(),
            bytes: 0,
            columns: BTreeSet::new(),
            started: false,
            last: None,
        }
    }

    /// Takes a row; `number` counts from 0.
    pub(super) fn row(&mut self, rich: &mut Rich, number: u32, mut cells: Vec<Cell>) {
        cells.retain(|cell| !cell.text.trim().is_empty());
        if cells.is_empty() {
            return;
        }
        for cell in &mut cells {
            cell.text.truncate(cell.text.floor_char_boundary(MAX_CELL_BYTES));
        }
        cells.sort_by_key(|cell| cell.column);
        let after_gap = self.last.is_some_and(|last| number > last.saturating_add(1));
        self.last = Some(number);
        let may_be_header = cells.len() > 1 && cells.iter().all(|cell| cell.is_text);
        // Another table, or a title above the first.
        if after_gap && may_be_header || self.header.is_none() && cells.len() > 1 {
            self.flush(rich);
            self.bytes = cells.iter().map(|cell| cell.text.len() + 3).sum();
            self.columns = cells.iter().map(|cell| cell.column).collect();
            self.header = Some(Row { number, cells });
            return;
        }
        let added: usize = cells.iter().map(|cell| cell.text.len() + 3).sum();
        self.bytes += added;
        self.columns.extend(cells.iter().map(|cell| cell.column));
        self.rows.push(Row { number, cells });
        if self.bytes > BLOCK_BYTES || self.rows.len() * self.columns.len() > BLOCK_CELLS {
            self.flush(rich);
        }
    }

    pub(super) fn end(mut self, rich: &mut Rich) {
        // A header with nothing below it is a row like others.
        if self.rows.is_empty()
            && let Some(header) = self.header.take_if(|_| self.bytes > 0)
        {
            self.rows.push(header);
        }
        self.flush(rich);
    }

    /// Writes the rows so far, below the header.
    fn flush(&mut self, rich: &mut Rich) {
        let rows = std::mem::take(&mut self.rows);
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            // The header is part of the range of the block that follows it.
            let top = match &self.header {
                Some(header) if header.number.saturating_add(1) == first.number => header.number,
                _ => first.number,
            };
            let left = self.columns.first().copied().unwrap_or_default();
            let right = self.columns.last().copied().unwrap_or_default();
            let range = format!("{}:{}", address(top, left), address(last.number, right));
            let at = Some(Locator::Cells((self.name.clone(), range)));
            rich.at(at);
            if !std::mem::replace(&mut self.started, true) {
                rich.push(Block::Heading(1, self.name.clone()));
            }
            let table = self.header.iter().chain(&rows).map(|row| self.line(row)).collect();
            rich.push(Block::Table(table));
        }
        self.columns = self.header.iter().flat_map(|header| &header.cells).map(|cell| cell.column).collect();
        // The header alone is written once it has rows, or never.
        self.bytes = 0;
    }

    /// The row's cells under the columns of the block.
    fn line(&self, row: &Row) -> Vec<String> {
        let mut line = Vec::with_capacity(self.columns.len());
        let mut cells = row.cells.iter().peekable();
        for column in &self.columns {
            let cell = cells.next_if(|cell| cell.column <= *column);
            line.push(cell.map_or_else(String::new, |cell| cell.text.clone()));
        }
        line
    }
}

/// `B7` for row 6 and column 1.
pub(super) fn address(row: u32, column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = u64::from(column) + 1;
    while rest > 0 {
        letters.push(b'A' + ((rest - 1) % 26) as u8);
        rest = (rest - 1) / 26;
    }
    letters.reverse();
    format!("{}{}", String::from_utf8_lossy(&letters), u64::from(row) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(texts: &[&str]) -> Vec<Cell> {
        let cell = |(column, text): (usize, &&str)| Cell {
            column: column as u32,
            text: (*text).to_owned(),
            is_text: text.parse::<f64>().is_err(),
        };
        texts.iter().enumerate().map(cell).collect()
    }

    fn read(rows: &[(u32, &[&str])]) -> Vec<(String, String)> {
        let (mut rich, mut sheet) = (Rich::default(), Sheet::new("S"));
        rows.iter().for_each(|(number, texts)| sheet.row(&mut rich, *number, cells(texts)));
        sheet.end(&mut rich);
        let at = |at: Option<Locator>| match at {
            Some(Locator::Cells((_, range))) => range,
            _ => String::new(),
        };
        let sections = rich.finish(None, None).unwrap().sections;
        sections.into_iter().map(|section| (at(section.at), section.text)).collect()
    }

    #[test]
    fn addresses_are_those_of_spreadsheets() {
        assert_eq!([address(0, 0), address(6, 25), address(9, 26), address(0, 16_383)], ["A1", "Z7", "AA10", "XFD1"]);
    }

    #[test]
    fn titles_stand_above_and_a_gap_starts_another_table() {
        let got = read(&[
            (0, &["Prices 2026"]),
            (1, &["Zone", "EUR"]),
            (2, &["EU", "4.9"]),
            (5, &["Name", "Age"]),
            (6, &["A", "5"]),
        ]);
        let wanted = [
            ("A1:A1", "Prices 2026"),
            ("A2:B3", "| Zone | EUR |\n| --- | --- |\n| EU | 4.9 |"),
            ("A6:B7", "| Name | Age |\n| --- | --- |\n| A | 5 |"),
        ];
        assert_eq!(got, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn long_tables_repeat_their_header() {
        let rows: Vec<[String; 2]> = (0..200).map(|n| [format!("product number {n}"), n.to_string()]).collect();
        let rows: Vec<[&str; 2]> = rows.iter().map(|row| [row[0].as_str(), row[1].as_str()]).collect();
        let mut all: Vec<(u32, &[&str])> = vec![(0, &["Name", "Stock"])];
        all.extend(rows.iter().enumerate().map(|(place, row)| (place as u32 + 1, row.as_slice())));
        let got = read(&all);
        assert!(got.len() > 2);
        assert!(got.iter().all(|(_, text)| text.starts_with("| Name | Stock |\n| --- | --- |\n| product number")));
        assert!(got[0].0.starts_with("A1:B") && got.last().unwrap().0.ends_with(":B201"));
    }
}
