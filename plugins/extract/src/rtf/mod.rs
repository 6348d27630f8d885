//! Rich Text Format (version 1.9.1): headings by outline level or style, list items, tables, text in any code page.
//!
//! One pass over the bytes with a stack of groups; what stands in a destination nobody reads (fonts, pictures, fields'
//! instructions) is left out.

mod tokens;

use std::collections::BTreeMap;

use encoding_rs::{Encoding, WINDOWS_1252};
use tributary_plugin_sdk::{Extracted, Failure};

use crate::{
    fault,
    rich::{Block, Rich, Tables},
};
use tokens::{Token, Tokens};

const WHAT: &str = "The RTF document";
/// Groups inside each other.
const MAX_GROUPS: usize = 1_000;

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, Failure> {
    let mut reader = Reader::new();
    for token in Tokens::new(bytes) {
        reader.take(token)?;
        reader.tables.check()?;
        if reader.rich.is_full() {
            break;
        }
    }
    reader.end_paragraph();
    reader.end_table();
    let title = Some(reader.title).filter(|title| !title.trim().is_empty());
    reader.rich.finish(title, None)
}

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    Body,
    /// Nowhere.
    Skipped,
    /// The title of the document.
    Title,
    /// Names of styles.
    Styles,
    /// The table of fonts, for their code pages.
    Fonts,
    /// The bullet or number in front of an item, as text.
    Marker,
}

/// What a group restores at its end.
#[derive(Clone, Copy)]
struct Group {
    destination: Destination,
    /// Bytes that stand for a `\u` where it is not understood.
    fallback: usize,
    encoding: &'static Encoding,
    is_hidden: bool,
}

struct Reader {
    rich: Rich,
    tables: Tables,
    title: String,
    groups: Vec<Group>,
    now: Group,
    /// `\*` was read: the next word names a destination that may be left out.
    is_optional: bool,
    /// Fallback characters of a `\u` still to be passed over.
    passing_over: usize,
    /// A first half of a UTF-16 pair.
    surrogate: Option<u16>,
    /// Bytes of a code page, not decoded yet: a character may have several.
    raw: Vec<u8>,
    text: String,
    /// Text of the paragraph's marker, such as `1.`.
    marker: String,
    heading: Option<u8>,
    in_table: bool,
    style: i32,
    style_name: String,
    /// Levels of heading styles.
    styles: BTreeMap<i32, u8>,
    font: i32,
    fonts: BTreeMap<i32, &'static Encoding>,
    default_encoding: &'static Encoding,
}

impl Reader {
    fn new() -> Self {
        Self {
            rich: Rich::default(),
            tables: Tables::default(),
            title: String::new(),
            groups: Vec::new(),
            now: Group { destination: Destination::Body, fallback: 1, encoding: WINDOWS_1252, is_hidden: false },
            is_optional: false,
            passing_over: 0,
            surrogate: None,
            raw: Vec::new(),
            text: String::new(),
            marker: String::new(),
            heading: None,
            in_table: false,
            style: 0,
            style_name: String::new(),
            styles: BTreeMap::new(),
            font: 0,
            fonts: BTreeMap::new(),
            default_encoding: WINDOWS_1252,
        }
    }

    fn take(&mut self, token: Token<'_>) -> Result<(), Failure> {
        match token {
            Token::Open => {
                self.decode();
                self.passing_over = 0;
                if self.groups.len() == MAX_GROUPS {
                    return Err(fault::damaged(WHAT, "its groups are nested too deeply"));
                }
                self.groups.push(self.now);
            }
            Token::Close => {
                self.decode();
                self.passing_over = 0;
                if let Some(before) = self.groups.pop() {
                    self.now = before;
                }
                self.is_optional = false;
            }
            Token::Text(bytes) => {
                let passed = self.passing_over.min(bytes.len());
                self.passing_over -= passed;
                self.raw.extend_from_slice(&bytes[passed..]);
            }
            Token::Byte(byte) if self.passing_over == 0 => self.raw.push(byte),
            Token::Byte(_) => self.passing_over -= 1,
            Token::Symbol(b'*') => self.is_optional = true,
            Token::Symbol(symbol) => self.symbol(symbol),
            Token::Word(name, number) => {
                self.decode();
                self.word(name, number);
            }
        }
        Ok(())
    }

    fn symbol(&mut self, symbol: u8) {
        self.decode();
        match symbol {
            b'~' => self.write(" "),
            b'_' => self.write("-"),
            b'\\' | b'{' | b'}' => self.write(char::from(symbol).encode_utf8(&mut [0; 4])),
            // A line end after a backslash ends the paragraph.
            b'\n' | b'\r' => self.end_paragraph(),
            _ => {}
        }
    }

    fn word(&mut self, name: &[u8], number: Option<i32>) {
        let is_optional = std::mem::take(&mut self.is_optional);
        let on = number != Some(0);
        match name {
            b"u" => self.unicode(number.unwrap_or_default()),
            b"uc" => self.now.fallback = number.unwrap_or(1).clamp(0, 64) as usize,
            b"ansicpg" => {
                self.default_encoding = code_page(number.unwrap_or_default());
                self.now.encoding = self.default_encoding;
            }
            b"f" if self.now.destination == Destination::Fonts => self.font = number.unwrap_or_default(),
            b"f" => {
                let font = number.unwrap_or_default();
                self.now.encoding = self.fonts.get(&font).copied().unwrap_or(self.default_encoding);
            }
            b"fcharset" if self.now.destination == Destination::Fonts => {
                if let Some(encoding) = character_set(number.unwrap_or_default()) {
                    self.fonts.insert(self.font, encoding);
                }
            }
            b"v" => self.now.is_hidden = on,
            b"plain" => {
                self.now.is_hidden = false;
                self.now.encoding = self.default_encoding;
            }
            b"par" | b"sect" | b"page" => self.end_paragraph(),
            b"line" => self.write("\n"),
            b"tab" => self.write("\t"),
            b"emdash" => self.write("—"),
            b"endash" => self.write("–"),
            b"lquote" => self.write("‘"),
            b"rquote" => self.write("’"),
            b"ldblquote" => self.write("“"),
            b"rdblquote" => self.write("”"),
            b"bullet" => self.write("•"),
            b"emspace" | b"enspace" | b"qmspace" => self.write(" "),
            b"pard" => {
                self.heading = None;
                self.in_table = false;
                self.style = 0;
            }
            b"intbl" => self.in_table = true,
            b"s" => {
                self.style = number.unwrap_or_default();
                if self.now.destination == Destination::Body {
                    self.heading = self.styles.get(&self.style).copied();
                }
            }
            b"outlinelevel" => {
                let level = number.filter(|level| (0..9).contains(level)).map(|level| level as u8 + 1);
                match self.now.destination {
                    Destination::Body => self.heading = level,
                    Destination::Styles => {
                        if let Some(level) = level {
                            self.styles.insert(self.style, level);
                        }
                    }
                    _ => {}
                }
            }
            b"cell" | b"nestcell" => self.end_cell(),
            b"row" | b"nestrow" => self.tables.row(),
            b"fonttbl" => self.now.destination = Destination::Fonts,
            b"stylesheet" => self.now.destination = Destination::Styles,
            b"title" if self.now.destination == Destination::Skipped => self.now.destination = Destination::Title,
            b"listtext" | b"pntext" => self.now.destination = Destination::Marker,
            b"colortbl" | b"info" | b"pict" | b"object" | b"fldinst" | b"header" | b"headerl" | b"headerr"
            | b"headerf" | b"footer" | b"footerl" | b"footerr" | b"footerf" | b"listtable" | b"listoverridetable"
            | b"rsidtbl" | b"xmlnstbl" | b"themedata" | b"datastore" | b"generator" | b"deleted" | b"tc" | b"xe"
            | b"annotation" | b"atnid" | b"atnauthor" | b"nonshppict" | b"bkmkstart" | b"bkmkend" => {
                self.now.destination = Destination::Skipped;
            }
            b"shppict" | b"shpinst" | b"shptxt" | b"fldrslt" | b"footnote" => {}
            _ if is_optional => self.now.destination = Destination::Skipped,
            _ => {}
        }
    }

    fn unicode(&mut self, number: i32) {
        self.passing_over = self.now.fallback;
        let unit = (number & 0xffff) as u16;
        match (self.surrogate.take(), unit) {
            (_, 0xd800..=0xdbff) => self.surrogate = Some(unit),
            (before, unit) => {
                let units = before.into_iter().chain([unit]);
                let text: String = char::decode_utf16(units).flatten().collect();
                self.write(&text);
            }
        }
    }

    /// Turns the bytes read so far into text.
    fn decode(&mut self) {
        if self.raw.is_empty() {
            return;
        }
        let raw = std::mem::take(&mut self.raw);
        let text = self.now.encoding.decode_without_bom_handling(&raw).0;
        self.write(&text);
        self.raw = raw;
        self.raw.clear();
    }

    fn write(&mut self, text: &str) {
        if self.now.is_hidden {
            return;
        }
        match self.now.destination {
            Destination::Body => self.text.push_str(text),
            Destination::Title => self.title.push_str(text),
            Destination::Marker => self.marker.push_str(text),
            Destination::Styles => {
                // Each name ends with a semicolon.
                for c in text.chars() {
                    if c == ';' {
                        let name = std::mem::take(&mut self.style_name).trim().to_ascii_lowercase();
                        if let Some(level) = name.strip_prefix("heading ").and_then(|level| level.parse().ok()) {
                            self.styles.insert(self.style, level);
                        }
                        self.style = 0;
                    } else if self.style_name.len() < 256 {
                        self.style_name.push(c);
                    }
                }
            }
            Destination::Skipped | Destination::Fonts => {}
        }
    }

    fn end_paragraph(&mut self) {
        self.decode();
        let text = std::mem::take(&mut self.text);
        let marker = std::mem::take(&mut self.marker);
        if self.in_table {
            self.open_table();
            return self.tables.text(&text);
        }
        self.end_table();
        if text.trim().is_empty() {
            return;
        }
        let marker = marker.trim();
        let block = match self.heading {
            Some(level) => Block::Heading(level, text),
            None if marker.is_empty() => Block::Paragraph(text),
            None => Block::Item(0, marker.trim_end_matches(['.', ')']).parse().ok(), text),
        };
        self.rich.push(block);
    }

    fn end_cell(&mut self) {
        self.in_table = true;
        self.open_table();
        let text = std::mem::take(&mut self.text);
        self.marker.clear();
        self.tables.text(&text);
        self.tables.cell();
    }

    /// A cell that holds nothing yet: cells end with a word and do not begin with one.
    fn open_table(&mut self) {
        if !self.tables.is_open() {
            self.tables.start();
            self.tables.row();
            self.tables.cell();
        }
    }

    fn end_table(&mut self) {
        if self.tables.is_open()
            && let Some(Block::Table(mut rows)) = self.tables.end()
        {
            // Behind the last end of a cell there is none.
            for row in &mut rows {
                if row.last().is_some_and(String::is_empty) {
                    row.pop();
                }
            }
            self.rich.push(Block::Table(rows));
        }
    }
}

fn code_page(number: i32) -> &'static Encoding {
    let label: &[u8] = match number {
        874 => b"windows-874",
        932 => b"shift_jis",
        936 => b"gbk",
        949 => b"euc-kr",
        950 => b"big5",
        1250 => b"windows-1250",
        1251 => b"windows-1251",
        1253 => b"windows-1253",
        1254 => b"windows-1254",
        1255 => b"windows-1255",
        1256 => b"windows-1256",
        1257 => b"windows-1257",
        1258 => b"windows-1258",
        10_000 => b"macintosh",
        65_001 => b"utf-8",
        _ => b"windows-1252",
    };
    Encoding::for_label(label).unwrap_or(WINDOWS_1252)
}

/// The code page of a Windows character set.
fn character_set(number: i32) -> Option<&'static Encoding> {
    Some(code_page(match number {
        77 => 10_000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    }))
}
