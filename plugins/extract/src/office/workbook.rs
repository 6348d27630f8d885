//! Excel workbooks (xlsx, xlsb, xls), through calamine, cell by cell where the format allows. Hidden sheets are left out.

use std::io::Cursor;

use calamine::{
    Data, ExcelDateTime, Reader, Sheet as About, SheetType, SheetVisible, Xls, XlsError, Xlsb, XlsbError, Xlsx,
    XlsxError,
};
use tributary_plugin_sdk::{Extracted, Failure};

use super::{
    package,
    sheet::{Cell, Sheet},
};
use crate::{archive::Archive, fault, rich::Rich};

const WHAT: &str = "The Excel workbook";
/// Cells that one old workbook may span, empty ones included: they are all held in memory.
const MAX_SPAN: u64 = 4_000_000;

/// A reader of one of the formats that are packages. One text for both: calamine's readers of cells have no trait in common.
macro_rules! cell_by_cell {
    ($(#[$doc:meta])* $format:ident, $Book:ident, $Error:ident) => {
        $(#[$doc])*
        pub(crate) fn $format(bytes: &[u8]) -> Result<Extracted, Failure> {
            let failure = |error| match error {
                $Error::Password => fault::encrypted(WHAT),
                error => fault::damaged(WHAT, &error.to_string()),
            };
            let mut archive = Archive::open(bytes, WHAT)?;
            archive.check_promised()?;
            let (title, language) = package::properties(&mut archive, WHAT)?;
            let mut book = $Book::new(Cursor::new(bytes)).map_err(failure)?;
            let mut rich = Rich::default();
            for name in visible(book.sheets_metadata()) {
                let mut cells = book.worksheet_cells_reader(&name).map_err(failure)?;
                let mut rows = Rows::new(&name);
                while let Some(cell) = cells.next_cell().map_err(failure)? {
                    let (row, column) = cell.get_position();
                    rows.take(&mut rich, row, column, cell_text(&Data::from(cell.get_value().clone())));
                    if rich.is_full() {
                        break;
                    }
                }
                rows.end(&mut rich);
            }
            rich.outline.finish(title, language)
        }
    };
}

cell_by_cell! {
    /// An `xlsx` or `xlsm`.
    xlsx, Xlsx, XlsxError
}
cell_by_cell! {
    /// An `xlsb`.
    xlsb, Xlsb, XlsbError
}

/// An `xls` of Excel 97 to 2003. The reader reserves what the file claims to hold, whatever that is: the memory limit of
/// the sandbox ends a hostile one.
pub(crate) fn xls(bytes: &[u8]) -> Result<Extracted, Failure> {
    let mut book: Xls<_> = Xls::new(Cursor::new(bytes)).map_err(|error| match error {
        XlsError::Password => fault::encrypted(WHAT),
        error => fault::damaged(WHAT, &error.to_string()),
    })?;
    let mut rich = Rich::default();
    let mut span = 0_u64;
    for name in visible(book.sheets_metadata()) {
        let range = book.worksheet_range(&name).map_err(|error| fault::damaged(WHAT, &error.to_string()))?;
        let (height, width) = range.get_size();
        span = span.saturating_add(height as u64 * width as u64);
        if span > MAX_SPAN {
            return Err(fault::bomb(WHAT, "spans far more cells than it fills"));
        }
        let (top, left) = range.start().unwrap_or_default();
        let mut rows = Rows::new(&name);
        for (row, column, value) in range.used_cells() {
            rows.take(&mut rich, top + row as u32, left + column as u32, cell_text(value));
            if rich.is_full() {
                break;
            }
        }
        rows.end(&mut rich);
    }
    rich.outline.finish(None, None)
}

fn visible(sheets: &[About]) -> Vec<String> {
    let seen = |sheet: &&About| sheet.visible == SheetVisible::Visible && sheet.typ == SheetType::WorkSheet;
    sheets.iter().filter(seen).map(|sheet| sheet.name.clone()).collect()
}

/// Cells in the order of the file, as rows.
struct Rows {
    sheet: Sheet,
    row: u32,
    cells: Vec<Cell>,
}

impl Rows {
    fn new(name: &str) -> Self {
        Self { sheet: Sheet::new(name), row: 0, cells: Vec::new() }
    }

    fn take(&mut self, rich: &mut Rich, row: u32, column: u32, value: Option<(String, bool)>) {
        let Some((text, is_text)) = value else { return };
        if row != self.row {
            self.sheet.row(rich, self.row, std::mem::take(&mut self.cells));
            self.row = row;
        }
        self.cells.push(Cell { column, text, is_text });
    }

    fn end(mut self, rich: &mut Rich) {
        self.sheet.row(rich, self.row, self.cells);
        self.sheet.end(rich);
    }
}

/// What a person sees in a cell, as far as the value tells, and whether it is text.
fn cell_text(value: &Data) -> Option<(String, bool)> {
    Some(match value {
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => (text.clone(), true),
        Data::Int(number) => (number.to_string(), false),
        Data::Float(number) => (number_text(*number), false),
        Data::Bool(truth) => (if *truth { "TRUE" } else { "FALSE" }.to_owned(), false),
        Data::DateTime(moment) => (moment_text(moment), false),
        Data::Error(_) | Data::Empty => return None,
    })
}

/// Fifteen digits, as Excel shows: 0.3 and not 0.30000000000000004.
fn number_text(number: f64) -> String {
    let rounded = format!("{number:.14e}").parse().unwrap_or(number);
    if (1e-5..1e21).contains(&rounded.abs()) || rounded == 0.0 { format!("{rounded}") } else { format!("{rounded:e}") }
}

/// `2026-01-31`, `2026-01-31 14:30`, `14:30:05` for a time of day, `30:15:00` for a duration.
fn moment_text(moment: &ExcelDateTime) -> String {
    let days = moment.as_f64();
    if moment.is_duration() {
        let seconds = (days.abs() * 86_400.0).round().min(1e12) as u64;
        let sign = if days < 0.0 { "-" } else { "" };
        return format!("{sign}{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
    if (0.0..1.0).contains(&days) {
        return format!("{hour:02}:{minute:02}:{second:02}");
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    match (hour, minute, second) {
        (0, 0, 0) => date,
        (hour, minute, 0) => format!("{date} {hour:02}:{minute:02}"),
        (hour, minute, second) => format!("{date} {hour:02}:{minute:02}:{second:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_excel_does() {
        assert_eq!(["0.1", "0.2"].map(|n| number_text(n.parse().unwrap())), ["0.1", "0.2"]);
        assert_eq!(number_text(0.1 + 0.2), "0.3");
        assert_eq!([number_text(1e300), number_text(-12.0), number_text(0.0)], ["1e300", "-12", "0"]);
    }
}
