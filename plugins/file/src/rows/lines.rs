//! Rows of JSON lines: a record per line, blank lines skipped.

use std::io::BufRead;

use tributary_plugin_sdk::{BlobId, BlobReader, Host};

use super::{BadRow, MAX_ROW_BYTES, Position, Row, Source, Stop, json};
use crate::config::JsonConfig;

pub(super) struct Lines<'a> {
    input: BlobReader<'a>,
    position: Position,
    config: &'a JsonConfig,
    line: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) fn open(
        host: &'a dyn Host,
        blob: BlobId,
        position: Position,
        config: &'a JsonConfig,
    ) -> Result<Self, Stop> {
        Ok(Self { input: BlobReader::from_offset(host, blob, position.offset), position, config, line: Vec::new() })
    }

    /// Reads a line into `line`, up to one byte past the limit; false at the end.
    fn read_line(&mut self) -> Result<bool, Stop> {
        self.line.clear();
        let mut any = false;
        loop {
            let slice = self.input.fill_buf()?;
            if slice.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = slice.iter().position(|byte| *byte == b'\n');
            let part = &slice[..end.unwrap_or(slice.len())];
            let room = (MAX_ROW_BYTES + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(slice.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

impl Source for Lines<'_> {
    fn position(&self) -> Position {
        self.position
    }

    fn next(&mut self) -> Result<Option<Row>, Stop> {
        while self.read_line()? {
            // Counts every line, blank ones too, so that the number is the one an editor shows.
            let number = self.position.row + 1;
            self.position = Position { offset: self.input.offset(), row: number };
            let line = self.line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.line).trim_ascii();
            if line.is_empty() {
                continue;
            }
            let record = if self.line.len() > MAX_ROW_BYTES {
                Err(BadRow::new(format!("Line {number} is longer than 1 MiB; split the record.")))
            } else {
                json::record(line, number, self.config)
            };
            return Ok(Some(Row { number, record }));
        }
        Ok(None)
    }
}
