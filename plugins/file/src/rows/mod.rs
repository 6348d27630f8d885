//! Files whose rows are documents: read a slice per page, from a byte offset.
//!
//! The first row with an id wins; later ones are reported. A file with rows that could not be read is not remembered as
//! read, so that the next run reports them again until they are repaired.

mod csv;
mod json;
mod lines;
mod record;

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    io,
};

use serde::{Deserialize, Serialize};
use tributary_plugin_sdk::{BlobId, Change, Content, Document, Failure, Host, Provenance};

use crate::{
    config::Config,
    cursor::Reading,
    file::{self, Fingerprint, Form},
    pull::{MAX_EXTERNAL_ID_BYTES, clip},
};
use record::Record;

/// The longest row, in bytes.
const MAX_ROW_BYTES: usize = 1 << 20;
/// Bad rows reported one by one; the rest are counted.
const MAX_FAILED_ROWS: u64 = 100;
/// Rows that repeat an id, of which the cursor keeps the numbers.
const MAX_REPEATED: usize = 1_000;
/// Rows in a file whose ids are checked for repetition.
const MAX_ROWS: usize = 4_000_000;

/// Where reading goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Byte offset; 0 at the start.
    pub(crate) offset: u64,
    /// Rows before it.
    pub(crate) row: u64,
}

/// What a page gets of a file.
pub(crate) struct Read {
    pub(crate) changes: Vec<Change>,
    /// Rows read.
    pub(crate) rows: u64,
    /// Bytes of text in `changes`.
    pub(crate) bytes: u64,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    /// The file is done with.
    Finished,
    /// The page is full.
    Paused(Reading),
}

/// One row as parsed.
struct Row {
    /// As people count: the first row of a CSV file is its header.
    number: u64,
    record: Result<Record, BadRow>,
}

/// Why a row cannot be read.
struct BadRow {
    message: String,
    /// Its id, when that much is certain.
    id: Option<String>,
}

impl BadRow {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), id: None }
    }
}

/// Why reading stops.
enum Stop {
    /// The rest of the file cannot be read.
    File(Failure),
    /// The host failed.
    Run(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Run(failure)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Run(error.into())
    }
}

/// A format's rows.
trait Source {
    /// Where the next row starts.
    fn position(&self) -> Position;
    fn next(&mut self) -> Result<Option<Row>, Stop>;
}

/// A file of rows being read.
pub(crate) struct Rows<'a> {
    host: &'a dyn Host,
    blob: BlobId,
    config: &'a Config,
    reading: Reading,
    /// The file's id, which is its container's.
    container: String,
    provenance: Provenance,
    full: bool,
    changes: Vec<Change>,
    rows: u64,
    bytes: u64,
    /// Ids so far, when the file was started in this page.
    seen: Option<HashSet<u64>>,
}

impl<'a> Rows<'a> {
    /// How a file is read after a look inside: a JSON file is rows only when it holds records.
    pub(crate) fn form(host: &dyn Host, blob: BlobId, form: Form, config: &Config) -> Result<Form, Failure> {
        if form == Form::Json && config.json.records.is_none() && !json::is_array(host, blob)? {
            return Ok(Form::Whole);
        }
        Ok(form)
    }

    pub(crate) fn new(
        host: &'a dyn Host,
        blob: BlobId,
        config: &'a Config,
        mut reading: Reading,
        provenance: Provenance,
        full: bool,
    ) -> Self {
        let seen = (reading.position == Position::default()).then(HashSet::new);
        if seen.is_some() {
            reading.repeated.clear();
        }
        let container = file::normal(&reading.path);
        Self { host, blob, config, reading, container, provenance, full, changes: Vec::new(), rows: 0, bytes: 0, seen }
    }

    /// Reads at most so many changes and bytes; at least one row when the page has nothing else.
    pub(crate) fn read(mut self, room_items: usize, room_bytes: u64, page_is_empty: bool) -> Result<Read, Failure> {
        let outcome = match self.read_rows(room_items, room_bytes, page_is_empty) {
            Ok(outcome) => outcome,
            Err(Stop::Run(failure)) => return Err(failure),
            Err(Stop::File(failure)) => {
                self.changes.push(Change::failed(&self.container, failure));
                Outcome::Finished
            }
        };
        self.drop_known()?;
        Ok(Read { changes: self.changes, rows: self.rows, bytes: self.bytes, outcome })
    }

    fn read_rows(&mut self, room_items: usize, room_bytes: u64, page_is_empty: bool) -> Result<Outcome, Stop> {
        let mut source = self.source()?;
        loop {
            let before = source.position();
            let row = match source.next() {
                Err(Stop::File(_)) if self.changes.len() >= room_items => {
                    return self.pause(before, None, &mut *source);
                }
                other => other?,
            };
            let Some(row) = row else {
                let closing = self.closing();
                if closing.is_some() && self.changes.len() >= room_items {
                    return self.pause(before, None, &mut *source);
                }
                self.changes.extend(closing);
                return Ok(Outcome::Finished);
            };
            if self.changes.len() >= room_items {
                return self.pause(before, Some(row), &mut *source);
            }
            let number = row.number;
            match self.document(&row) {
                Ok(document) => {
                    let bytes = size_bytes(&document);
                    let first = page_is_empty && self.changes.is_empty();
                    if self.bytes + bytes > room_bytes && !first {
                        return self.pause(before, Some(row), &mut *source);
                    }
                    if self.is_repeated(number, &document.external_id)? {
                        self.bad(number, self.repeats(number, &document.external_id));
                    } else {
                        self.bytes += bytes;
                        self.changes.push(document.into());
                    }
                }
                Err(mut bad) => {
                    if let Some(id) = &bad.id
                        && self.is_repeated(number, id)?
                    {
                        bad.id = Some(self.numbered(number));
                    }
                    self.bad(number, bad);
                }
            }
            self.rows += 1;
        }
    }

    fn source(&self) -> Result<Box<dyn Source + 'a>, Stop> {
        let (host, blob, config, position) = (self.host, self.blob, self.config, self.reading.position);
        Ok(match file::form(&self.reading.path, config) {
            Form::JsonLines => Box::new(lines::Lines::open(host, blob, position, &config.json)?),
            Form::Json => Box::new(json::Items::open(host, blob, position, &config.json)?),
            Form::Csv | Form::Whole => Box::new(csv::Csv::open(host, blob, position, &config.csv, &self.container)?),
        })
    }

    fn document(&self, row: &Row) -> Result<Document, BadRow> {
        let record = match &row.record {
            Ok(record) => record,
            Err(bad) => return Err(BadRow { message: bad.message.clone(), id: bad.id.as_ref().map(|id| self.id(id)) }),
        };
        let id = record.id.as_ref().map_or_else(|| self.numbered(row.number), |id| self.id(id));
        if id.len() > MAX_EXTERNAL_ID_BYTES {
            return Err(BadRow::new(format!("The id of row {} is too long; use a shorter id.", row.number)));
        }
        let fallback = || match &record.id {
            Some(id) => id.clone(),
            None => format!("{}, row {}", self.container.rsplit('/').next().unwrap_or_default(), row.number),
        };
        let body = record.body();
        let mut document = Document::new(id, self.config.row_kind(), Content::text(body.text))
            .titled(record.title.clone().unwrap_or_else(fallback))
            .fingerprinted(format!("{:016x}", record.hash))
            .within(&self.container);
        document.fields = body.fields;
        document.provenance = self.provenance.clone();
        if body.url.is_some() {
            document.provenance.url = body.url;
        }
        Ok(document)
    }

    fn id(&self, id: &str) -> String {
        format!("{}#{id}", self.container)
    }

    /// The id of a row that has none of its own.
    fn numbered(&self, number: u64) -> String {
        self.id(&format!("row={number}"))
    }

    fn repeats(&self, number: u64, id: &str) -> BadRow {
        let id = id.strip_prefix(&self.container).and_then(|id| id.strip_prefix('#')).unwrap_or(id);
        let message =
            format!("Row {number} repeats the id \"{id}\" of an earlier row, so it was left out; ids must differ.");
        BadRow { message, id: Some(self.numbered(number)) }
    }

    fn is_repeated(&mut self, number: u64, id: &str) -> Result<bool, Stop> {
        let Some(seen) = &mut self.seen else { return Ok(self.reading.repeated.binary_search(&number).is_ok()) };
        if seen.len() >= MAX_ROWS {
            let what = format!("It has more than {MAX_ROWS} rows; split it into smaller files.");
            return Err(Stop::File(Failure::too_large("too_many_rows", what)));
        }
        Ok(!seen.insert(hash_of(id)))
    }

    fn bad(&mut self, number: u64, bad: BadRow) {
        self.reading.failed += 1;
        let listed = self.reading.failed <= MAX_FAILED_ROWS;
        self.reading.nameless |= bad.id.is_none() || !listed;
        if listed {
            let id = bad.id.unwrap_or_else(|| self.numbered(number));
            self.changes.push(Change::failed(clip(&id), Failure::source_contract("row_invalid", bad.message)));
        }
    }

    /// The change that ends the file.
    fn closing(&self) -> Option<Change> {
        let Reading { stamp, sha256, failed, nameless, .. } = &self.reading;
        if *nameless {
            let rows = if *failed == 1 { "One row".to_owned() } else { format!("{failed} rows") };
            let what =
                format!("{rows} could not be read. Until that is repaired, no document of this file is deleted.");
            return Some(Change::failed(&self.container, Failure::source_contract("rows_invalid", what)));
        }
        let fingerprint = Fingerprint { is_container: true, stamp: *stamp, sha256: sha256.clone() };
        (*failed == 0).then(|| Change::container_read(&self.container, fingerprint.to_text()))
    }

    /// Leaves the file at `position`. `row` was read already and comes again.
    fn pause(&mut self, position: Position, row: Option<Row>, source: &mut dyn Source) -> Result<Outcome, Stop> {
        if self.seen.is_some() {
            self.find_repeated(row, source)?;
        }
        let mut reading = self.reading.clone();
        reading.position = position;
        Ok(Outcome::Paused(reading))
    }

    /// Reads the rest of the file for its ids alone, since later pages do not know those of this one.
    fn find_repeated(&mut self, row: Option<Row>, source: &mut dyn Source) -> Result<(), Stop> {
        let mut next = row;
        while let Some(row) = next {
            let id = match &row.record {
                Ok(record) => &record.id,
                Err(bad) => &bad.id,
            };
            if let Some(id) = id
                && self.is_repeated(row.number, &self.id(id))?
            {
                self.reading.repeated.push(row.number);
            }
            if self.reading.repeated.len() > MAX_REPEATED {
                let what = format!("More than {MAX_REPEATED} rows repeat an id; choose ids that tell rows apart.");
                return Err(Stop::File(Failure::source_contract("ids_repeat", what)));
            }
            next = match source.next() {
                Ok(row) => row,
                // Reported when reading gets there.
                Err(Stop::File(_)) => None,
                Err(stop) => return Err(stop),
            };
        }
        Ok(())
    }

    /// Sends rows that the ledger knows as they are without their content.
    fn drop_known(&mut self) -> Result<(), Failure> {
        if self.full {
            return Ok(());
        }
        let ids: Vec<String> =
            self.changes.iter().filter_map(upserted).map(|document| document.external_id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let known = self.host.lookup(&ids)?;
        let documents = self.changes.iter_mut().filter_map(|change| match change {
            Change::Upsert(document) => Some(document),
            _ => None,
        });
        for (document, known) in documents.zip(known) {
            if known.is_some() && known == document.fingerprint {
                let Document { external_id, kind, fingerprint, container, .. } = document.clone();
                *document = Document { fingerprint, container, ..Document::new(external_id, kind, Content::Unchanged) };
            }
        }
        Ok(())
    }
}

fn upserted(change: &Change) -> Option<&Document> {
    match change {
        Change::Upsert(document) => Some(document),
        _ => None,
    }
}

fn size_bytes(document: &Document) -> u64 {
    let text = match &document.content {
        Content::Sections(sections) => sections.iter().map(|section| section.text.len()).sum(),
        _ => 0,
    };
    // Fields are about as long as the text they were made from.
    (2 * text + document.external_id.len() + document.title.len() + 256) as u64
}

/// Stable for one build of this connector, which is as long as fingerprints are kept.
fn hash_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
