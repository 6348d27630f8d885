//! Items of a JSON array anywhere in a file, one at a time: only the item being read is in memory, and nothing recurses.

use std::{fmt, io::BufRead, rc::Rc};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use tributary_plugin_sdk::{BlobId, BlobReader, Failure, Host};

use super::{
    BadRow, MAX_ROW_BYTES, Position, Row, Source, Stop, hash_of,
    record::{self, Cell, Record},
};
use crate::config::JsonConfig;

/// Keys on the way to the records may be this long.
const MAX_KEY_BYTES: usize = 4 * 1024;

pub(super) struct Items<'a> {
    scanner: Scanner<'a>,
    position: Position,
    config: &'a JsonConfig,
}

impl<'a> Items<'a> {
    pub(super) fn open(
        host: &'a dyn Host,
        blob: BlobId,
        position: Position,
        config: &'a JsonConfig,
    ) -> Result<Self, Stop> {
        let mut scanner = Scanner { input: BlobReader::from_offset(host, blob, position.offset) };
        if position == Position::default() {
            scanner.skip_mark()?;
            scanner.descend(config.records.as_deref().unwrap_or_default())?;
        }
        let position = Position { offset: scanner.input.offset(), row: position.row };
        Ok(Self { scanner, position, config })
    }
}

impl Source for Items<'_> {
    fn position(&self) -> Position {
        self.position
    }

    fn next(&mut self) -> Result<Option<Row>, Stop> {
        let mut byte = self.scanner.peek_token()?;
        if byte == Some(b',') {
            self.scanner.input.consume(1);
            byte = self.scanner.peek_token()?;
        }
        if byte == Some(b']') {
            return Ok(None);
        }
        let number = self.position.row + 1;
        let mut item = Vec::new();
        let complete = self.scanner.value(Some(&mut item), MAX_ROW_BYTES)?;
        self.position = Position { offset: self.scanner.input.offset(), row: number };
        let record = if complete {
            record(&item, number, self.config)
        } else {
            Err(BadRow::new(format!("Record {number} is longer than 1 MiB; split it.")))
        };
        Ok(Some(Row { number, record }))
    }
}

/// Whether a file holds an array.
pub(super) fn is_array(host: &dyn Host, blob: BlobId) -> Result<bool, Failure> {
    let head = host.read_blob(blob, 0, 4 * 1024)?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    Ok(head.trim_ascii_start().first() == Some(&b'['))
}

/// A record from the text of an object.
pub(super) fn record(text: &[u8], number: u64, config: &JsonConfig) -> Result<Record, BadRow> {
    let Members(members) = serde_json::from_slice(text).map_err(|error| {
        let cause = error.to_string();
        let cause = cause.split(" at line ").next().unwrap_or_default();
        BadRow::new(format!("Record {number} is not a valid JSON object: {cause}."))
    })?;
    let at = |pointer: &str| {
        let (key, rest) = split_pointer(pointer);
        let (_, value) = members.iter().find(|(name, _)| *name == key)?;
        let value = if rest.is_empty() { Some(value) } else { value.pointer(rest) };
        value.and_then(scalar)
    };
    let id = match &config.id {
        Some(pointer) => Some(at(pointer).ok_or_else(|| {
            BadRow::new(format!("Record {number} has no value at `{pointer}`, which is to name it."))
        })?),
        None => {
            record::id_column(members.iter().map(|(name, _)| name.as_str())).and_then(|place| scalar(&members[place].1))
        }
    };
    let title = config.title.as_deref().and_then(at);
    let hash = hash_of(text);
    let cells = members.into_iter().map(|(name, value)| (Rc::from(name), Cell::Typed(value))).collect();
    Ok(Record::new(id, None, cells, hash).titled(title))
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The first key of a pointer, unescaped, and the pointer below it.
fn split_pointer(pointer: &str) -> (String, &str) {
    let pointer = pointer.strip_prefix('/').unwrap_or(pointer);
    let end = pointer.find('/').unwrap_or(pointer.len());
    (pointer[..end].replace("~1", "/").replace("~0", "~"), &pointer[end..])
}

/// The members of an object in the order of the file.
struct Members(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Finds where values end without parsing them.
struct Scanner<'a> {
    input: BlobReader<'a>,
}

impl Scanner<'_> {
    fn skip_mark(&mut self) -> Result<(), Stop> {
        if self.input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            self.input.consume(3);
        }
        Ok(())
    }

    /// The next byte that is not white space, not consumed.
    fn peek_token(&mut self) -> Result<Option<u8>, Stop> {
        loop {
            let slice = self.input.fill_buf()?;
            if slice.is_empty() {
                return Ok(None);
            }
            let white = slice.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let found = slice.get(white).copied();
            self.input.consume(white);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Stop> {
        match self.peek_token()? {
            Some(byte) if byte == wanted => {
                self.input.consume(1);
                Ok(())
            }
            _ => Err(self.invalid()),
        }
    }

    /// Goes to the array that a pointer names, past its bracket.
    fn descend(&mut self, pointer: &str) -> Result<(), Stop> {
        let mut rest = pointer;
        while !rest.is_empty() {
            let (key, below) = split_pointer(rest);
            rest = below;
            match self.peek_token()? {
                Some(b'{') => self.enter_member(&key, pointer)?,
                Some(b'[') => self.enter_item(&key, pointer)?,
                _ => return Err(nothing_at(pointer)),
            }
        }
        match self.peek_token()? {
            Some(b'[') => {
                self.input.consume(1);
                Ok(())
            }
            None => Err(self.invalid()),
            Some(_) => Err(nothing_at(pointer)),
        }
    }

    fn enter_member(&mut self, key: &str, pointer: &str) -> Result<(), Stop> {
        self.expect(b'{')?;
        loop {
            match self.peek_token()? {
                Some(b',') => self.input.consume(1),
                Some(b'"') => {
                    let mut name = Vec::new();
                    self.value(Some(&mut name), MAX_KEY_BYTES)?;
                    self.expect(b':')?;
                    self.peek_token()?;
                    if serde_json::from_slice::<String>(&name).is_ok_and(|name| name == key) {
                        return Ok(());
                    }
                    self.value(None, 0)?;
                }
                Some(b'}') => return Err(nothing_at(pointer)),
                _ => return Err(self.invalid()),
            }
        }
    }

    fn enter_item(&mut self, key: &str, pointer: &str) -> Result<(), Stop> {
        self.expect(b'[')?;
        let place: usize = key.parse().map_err(|_| nothing_at(pointer))?;
        for _ in 0..place {
            if self.peek_token()? == Some(b']') {
                return Err(nothing_at(pointer));
            }
            self.value(None, 0)?;
            if self.peek_token()? == Some(b',') {
                self.input.consume(1);
            }
        }
        Ok(())
    }

    /// Passes a value, which starts at the next byte, into `out` as long as that is within `limit`; whether all of it was.
    fn value(&mut self, mut out: Option<&mut Vec<u8>>, limit: usize) -> Result<bool, Stop> {
        let (mut depth, mut in_string, mut escaped, mut started) = (0_u64, false, false, false);
        let mut complete = true;
        loop {
            let slice = self.input.fill_buf()?;
            if slice.is_empty() {
                // A number may end with the file; anything else is cut off.
                return if started && depth == 0 && !in_string { Ok(complete) } else { Err(self.invalid()) };
            }
            let mut end = None;
            for (place, &byte) in slice.iter().enumerate() {
                if in_string {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => {
                            in_string = false;
                            if depth == 0 {
                                end = Some(place + 1);
                                break;
                            }
                        }
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => in_string = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' if depth == 0 => {
                            end = Some(place);
                            break;
                        }
                        b'}' | b']' => {
                            depth -= 1;
                            if depth == 0 {
                                end = Some(place + 1);
                                break;
                            }
                        }
                        b',' | b':' if depth == 0 => {
                            end = Some(place);
                            break;
                        }
                        _ => {}
                    }
                }
                started = true;
            }
            let used = end.unwrap_or(slice.len());
            started |= used > 0;
            if let Some(out) = &mut out {
                complete &= out.len() + used <= limit;
                if complete {
                    out.extend_from_slice(&slice[..used]);
                }
            }
            self.input.consume(used);
            if end.is_some() {
                // Nothing was passed: two separators in a row.
                return if started { Ok(complete) } else { Err(self.invalid()) };
            }
        }
    }

    fn invalid(&self) -> Stop {
        let what = format!("It is not valid JSON at byte {}; repair the file.", self.input.offset());
        Stop::File(Failure::source_contract("json_invalid", what))
    }
}

fn nothing_at(pointer: &str) -> Stop {
    let what = format!("There is no array of records at `{pointer}`; correct `json.records`.");
    Stop::File(Failure::config("/json/records", what))
}
