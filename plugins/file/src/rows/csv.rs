//! Rows of CSV: any of the usual separators, quotes, encodings and their defects.

use std::{io::BufRead, rc::Rc};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use encoding_rs::WINDOWS_1252;
use tributary_plugin_sdk::{BlobId, BlobReader, Failure, Host};

use super::{
    BadRow, MAX_ROW_BYTES, Position, Row, Source, Stop, hash_of,
    record::{self, Cell, Record},
};
use crate::config::CsvConfig;

/// The start of the file, from which separator and encoding are told.
const HEAD_BYTES: u32 = 64 * 1024;
const MAX_COLUMNS: usize = 2_000;

pub(super) struct Csv<'a> {
    input: BlobReader<'a>,
    parser: Reader,
    position: Position,
    /// The fields of the current row, one after the other, and where each ends.
    fields: Vec<u8>,
    ends: Vec<usize>,
    columns: Vec<Rc<str>>,
    id_columns: Vec<usize>,
    title_at: Option<usize>,
    /// Broken UTF-8 is a defect, not another encoding.
    is_utf8: bool,
    header_hash: u64,
}

impl<'a> Csv<'a> {
    /// Opens at a position; the header is read from the start in any case.
    pub(super) fn open(
        host: &'a dyn Host,
        blob: BlobId,
        position: Position,
        config: &CsvConfig,
        name: &str,
    ) -> Result<Self, Stop> {
        let head = host.read_blob(blob, 0, HEAD_BYTES)?;
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) || head.contains(&0) {
            let what = format!("{name} is not CSV in UTF-8 or Windows-1252; save it as CSV in UTF-8.");
            return Err(Stop::File(Failure::unsupported("csv_encoding", what)));
        }
        let (separator, skipped) = separator(&head);
        let mut csv = Self {
            input: BlobReader::from_offset(host, blob, skipped),
            parser: ReaderBuilder::new().delimiter(separator).build(),
            position: Position::default(),
            fields: vec![0; 16 * 1024],
            ends: vec![0; 64],
            columns: Vec::new(),
            id_columns: Vec::new(),
            title_at: None,
            is_utf8: has_utf8(&head),
            header_hash: 0,
        };
        csv.read_header(config, name)?;
        if position == Position::default() {
            csv.position.offset = csv.input.offset();
        } else {
            csv.input = BlobReader::from_offset(host, blob, position.offset);
            csv.parser.reset();
            csv.position = position;
        }
        Ok(csv)
    }

    fn read_header(&mut self, config: &CsvConfig, name: &str) -> Result<(), Stop> {
        let Some(count) = self.read_record(1)? else { return Ok(()) };
        for place in 0..count {
            let text = self
                .text(place)
                .unwrap_or_else(|| WINDOWS_1252.decode_without_bom_handling(self.bytes(place)).0.into());
            let mut column = match text.trim_start_matches('\u{feff}').trim() {
                "" => format!("column_{}", place + 1),
                text => text.to_owned(),
            };
            while self.columns.iter().any(|other| **other == *column) {
                column.push_str("_2");
            }
            self.columns.push(column.into());
        }
        let find = |wanted: &String| {
            let by_name = self.columns.iter().position(|column| **column == **wanted);
            by_name.or_else(|| self.columns.iter().position(|column| record::plain(column) == record::plain(wanted)))
        };
        for (place, wanted) in config.id_columns.iter().enumerate() {
            let missing = || {
                let columns =
                    self.columns.iter().take(20).map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
                let what =
                    format!("{name} has no column `{wanted}`, which is to name its rows; its columns are {columns}.");
                Stop::File(Failure::config(format!("/csv/id_columns/{place}"), what))
            };
            self.id_columns.push(find(wanted).ok_or_else(missing)?);
        }
        self.title_at = config.title_column.as_ref().and_then(find);
        if self.id_columns.is_empty() {
            self.id_columns.extend(record::id_column(self.columns.iter().map(|column| &**column)));
        }
        self.header_hash = hash_of(&self.columns);
        Ok(())
    }

    /// Reads a row into `fields` and `ends`; its number of fields, or `None` at the end.
    fn read_record(&mut self, number: u64) -> Result<Option<usize>, Stop> {
        let (mut written, mut ended) = (0, 0);
        loop {
            let input = self.input.fill_buf()?;
            let (result, read, out, ends) =
                self.parser.read_record(input, &mut self.fields[written..], &mut self.ends[ended..]);
            self.input.consume(read);
            written += out;
            ended += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.fields.len() < MAX_ROW_BYTES => {
                    self.fields.resize(self.fields.len() * 2, 0);
                }
                ReadRecordResult::OutputFull => {
                    let what = format!("Row {number} is longer than 1 MiB; a quote in it is probably never closed.");
                    return Err(Stop::File(Failure::source_contract("row_too_long", what)));
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_COLUMNS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    let what = format!("Row {number} has more than {MAX_COLUMNS} fields; this is not a table.");
                    return Err(Stop::File(Failure::source_contract("too_many_columns", what)));
                }
                ReadRecordResult::Record => return Ok(Some(ended)),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    fn bytes(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.fields[start..self.ends[place]]
    }

    /// A field as text; `None` when it is broken UTF-8 in a file that is UTF-8.
    fn text(&self, place: usize) -> Option<String> {
        let bytes = self.bytes(place);
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text.to_owned()),
            Err(_) if self.is_utf8 => None,
            Err(_) => Some(WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned()),
        }
    }

    fn record(&self, number: u64, count: usize) -> Result<Record, BadRow> {
        let surplus_is_empty = (self.columns.len()..count).all(|place| self.bytes(place).is_empty());
        if count < self.columns.len() || !surplus_is_empty {
            let plural = if count == 1 { "field" } else { "fields" };
            // In a row with too many or too few fields only the first is certain to be where it belongs.
            let id = if self.id_columns == [0] { self.id().ok().flatten() } else { None };
            let message =
                format!("Row {number} has {count} {plural}, the header has {}; repair the row.", self.columns.len());
            return Err(BadRow { message, id });
        }
        let mut cells = Vec::with_capacity(self.columns.len());
        for (place, column) in self.columns.iter().enumerate() {
            let Some(text) = self.text(place) else {
                let message = format!("Row {number}, column `{column}`: broken UTF-8; save the file as UTF-8.");
                return Err(BadRow { message, id: self.id().ok().flatten() });
            };
            cells.push((column.clone(), Cell::Untyped(text)));
        }
        let id = self.id().map_err(|column| {
            BadRow::new(format!("Row {number} has no value in `{column}`, which is to name it; fill it in."))
        })?;
        let hash = hash_of(&(self.header_hash, &self.fields[..self.ends[count - 1]], &self.ends[..count]));
        Ok(Record::new(id, self.title_at, cells, hash))
    }

    /// The row's id; `None` when rows have no ids, or this one is not readable.
    ///
    /// # Errors
    /// The column that is empty.
    fn id(&self) -> Result<Option<String>, &str> {
        let mut parts = Vec::with_capacity(self.id_columns.len());
        for &place in &self.id_columns {
            let Some(text) = self.text(place) else { return Ok(None) };
            let text = text.trim();
            if text.is_empty() {
                return Err(&self.columns[place]);
            }
            parts.push(text.to_owned());
        }
        Ok((!parts.is_empty()).then(|| parts.join("|")))
    }
}

impl Source for Csv<'_> {
    fn position(&self) -> Position {
        self.position
    }

    fn next(&mut self) -> Result<Option<Row>, Stop> {
        if self.columns.is_empty() {
            return Ok(None);
        }
        // The header is row 1.
        let number = self.position.row + 2;
        let Some(count) = self.read_record(number)? else { return Ok(None) };
        self.position = Position { offset: self.input.offset(), row: self.position.row + 1 };
        Ok(Some(Row { number, record: self.record(number, count) }))
    }
}

/// The separator, and how much to skip for a line that declares it (`sep=;`, as Excel writes).
fn separator(head: &[u8]) -> (u8, u64) {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    if let [b's', b'e', b'p', b'=', separator, b'\r' | b'\n', ..] = text {
        return (*separator, (head.len() - text.len() + 5) as u64);
    }
    let (mut quoted, mut counts) = (false, [0_u32; 4]);
    const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];
    for byte in text {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted && counts != [0; 4] => break,
            byte if !quoted => {
                if let Some(candidate) = CANDIDATES.iter().position(|candidate| candidate == byte) {
                    counts[candidate] += 1;
                }
            }
            _ => {}
        }
    }
    // The first of the most frequent.
    let most = counts.iter().max().copied().unwrap_or_default();
    (CANDIDATES[counts.iter().position(|count| *count == most).unwrap_or_default()], 0)
}

/// Whether the text has valid multi-byte characters, so that broken ones are defects.
fn has_utf8(head: &[u8]) -> bool {
    head.utf8_chunks().any(|chunk| !chunk.valid().is_ascii())
}
