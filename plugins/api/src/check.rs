//! Whether a configuration will work: the first page of each collection, and what of it the mapping finds.

use tributary_plugin_sdk::{CheckItem, Failure, Fault, Host};

use crate::{
    answer::{Answer, ask},
    config::{AuthKind, Collection, Config, Mapping, Text},
    cursor::Frame,
    decode::Window,
    document,
    json::{Json, Pointer},
    request::{self, Run},
    time,
};

/// Records of a first page that are looked at.
const LOOK: usize = 50;
/// Collections that are asked for.
const MAX_COLLECTIONS: usize = 20;

pub(crate) fn check(host: &dyn Host, config: &Config) -> Result<Vec<CheckItem>, Failure> {
    if let Err(failure) = config.validate() {
        return Ok(vec![failed("settings are valid", failure, "")]);
    }
    let mut checked = Checked { host, config, items: vec![CheckItem::ok("settings are valid")], frames: Vec::new() };
    for place in 0..config.collections.len().min(MAX_COLLECTIONS) {
        checked.collection(place)?;
    }
    Ok(checked.items)
}

struct Checked<'a> {
    host: &'a dyn Host,
    config: &'a Config,
    items: Vec<CheckItem>,
    /// How the listing of each collection for the first item of its parent is asked for.
    frames: Vec<(usize, Frame)>,
}

impl Checked<'_> {
    fn collection(&mut self, place: usize) -> Result<(), Failure> {
        let collection = &self.config.collections[place];
        let name = format!("{}: the first page answers", collection.name);
        let frame = match collection.parent() {
            None => Frame { collection: place, ..Frame::default() },
            Some(parent) => match self.frames.iter().find(|(child, _)| *child == place) {
                Some((_, frame)) => frame.clone(),
                None => {
                    let what = format!("`{}` has no item on its first page to look at.", parent.collection);
                    self.items.push(CheckItem::warning(name, what));
                    return Ok(());
                }
            },
        };
        let run = Run { upper_bound: 0, max_items: LOOK as u32 };
        let asked = request::build(self.config, &frame, run).and_then(|request| {
            let window = Window { skip: 0, take: LOOK };
            ask(self.host, self.config, place, &collection.response, &request, 0, |_| window)
        });
        let is_first = !self.items.iter().any(|item| item.name == REACHED);
        let at = format!("/collections/{place}/request");
        let got = match asked {
            Ok(Answer::Page(got)) => got,
            Ok(Answer::Empty) => {
                self.reached(is_first);
                self.items.push(CheckItem::ok(name));
                return Ok(());
            }
            Ok(Answer::Wait { failure, .. } | Answer::Retry { failure, .. } | Answer::Skip { failure, .. }) => {
                self.reached(is_first);
                self.items.push(CheckItem::warning(name, failure.message).at(at));
                return Ok(());
            }
            Ok(Answer::NotModified) => return Ok(()),
            Err(failure) if failure.fault == Fault::Cancelled => return Err(failure),
            Err(failure) => {
                let answered = failure.http_status.is_some() || failure.fault == Fault::SourceContract;
                if is_first && answered {
                    self.reached_at_all();
                    match failure.http_status {
                        Some(401 | 403) => self.items.push(failed(ACCEPTED, failure.clone(), "/auth/credential")),
                        _ => self.accepted(),
                    }
                } else if is_first {
                    self.items.push(failed(REACHED, failure.clone(), "/base_url"));
                }
                self.items.push(failed(&name, failure, &at));
                return Ok(());
            }
        };
        self.reached(is_first);
        self.items.push(CheckItem::ok(name));
        let records = &got.decoded.records;
        self.first_item(place, &frame, records);
        if let Some(mapping) = &collection.document {
            self.mapping(place, collection, mapping, &frame, records);
        }
        Ok(())
    }

    fn reached(&mut self, is_first: bool) {
        if is_first {
            self.reached_at_all();
            self.accepted();
        }
    }

    fn reached_at_all(&mut self) {
        self.items.push(CheckItem::ok(REACHED));
    }

    fn accepted(&mut self) {
        if self.config.auth.kind != AuthKind::None {
            self.items.push(CheckItem::ok(ACCEPTED));
        }
    }

    /// Notes how the items of the first record are asked for.
    fn first_item(&mut self, place: usize, frame: &Frame, records: &[Json]) {
        for child in self.config.children(place) {
            let Some(parent) = self.config.collections[child].parent() else { continue };
            let first = records.iter().filter(|record| parent.conditions.iter().all(|one| one.holds(record)));
            let Some((key, record)) = first.filter_map(|record| Some((parent.key.scalar(record)?, record))).next()
            else {
                continue;
            };
            let mut below =
                Frame { collection: child, path: frame.path.clone(), names: frame.names.clone(), ..Frame::default() };
            below.names.insert(parent.name.clone(), key.clone());
            let with = parent.with.iter().filter_map(|(name, at)| Some((name.clone(), at.scalar(record)?)));
            below.names.extend(with);
            below.path.push(key);
            self.frames.push((child, below));
        }
    }

    fn mapping(&mut self, place: usize, collection: &Collection, mapping: &Mapping, frame: &Frame, records: &[Json]) {
        let name = format!("{}: records are documents", collection.name);
        let at = format!("/collections/{place}/document");
        if records.is_empty() {
            let what = format!("The first page has no record at `{}`.", collection.response.records);
            self.items.push(CheckItem::warning(name, what).at(format!("/collections/{place}/response/records")));
            return;
        }
        let around = document::Around { collection: &collection.name, path: &frame.path, names: &frame.names };
        if let Some(failure) = records.iter().find_map(|record| document::id_of(mapping, &around, record).err()) {
            self.items.push(failed(&name, failure, &format!("{at}/id")));
            return;
        }
        let before = self.items.len();
        let mut look = |what: String, pointer: &Pointer, at: String| {
            if records.iter().all(|record| pointer.find_all(record).iter().all(|value| value.is_blank())) {
                let message = format!("`{pointer}` finds nothing in any record of the first page.");
                self.items.push(CheckItem::warning(format!("{}: {what} is found", collection.name), message).at(at));
            }
        };
        for text in &mapping.title.0 {
            if let (Text::At(pointer), 1) = (text, mapping.title.0.len()) {
                look("the title".to_owned(), pointer, format!("{at}/title"));
            }
        }
        for (number, part) in mapping.body.iter().enumerate() {
            if let Text::At(pointer) = &part.text {
                look("the body".to_owned(), pointer, format!("{at}/body/{number}"));
            }
        }
        for (what, pointer) in [("created", &mapping.created), ("modified", &mapping.modified)] {
            if let Some(pointer) = pointer {
                look(format!("`{what}`"), pointer, format!("{at}/{what}"));
            }
        }
        for (number, field) in mapping.fields.iter().enumerate() {
            look(format!("field `{}`", field.name), &field.at, format!("{at}/fields/{number}/at"));
        }
        if let Some(incremental) = &collection.incremental {
            let reads =
                |record| incremental.field.scalar(record).and_then(|text| time::parse(&text, &incremental.formats));
            if let Some(text) = records.iter().find(|one| reads(one).is_none()).map(|one| incremental.field.scalar(one))
            {
                let message = match text {
                    Some(text) => format!("`{text}` at `{}` is in none of the `formats`.", incremental.field),
                    None => format!("A record has nothing at `{}`.", incremental.field),
                };
                let item = CheckItem::warning(format!("{}: changes are found", collection.name), message);
                self.items.push(item.at(format!("/collections/{place}/incremental/field")));
            }
        }
        let formats = if mapping.formats.is_empty() { time::ANY } else { &mapping.formats };
        for (number, field) in mapping.fields.iter().enumerate() {
            let is_said = |record: &&Json| field.at.find_all(record).iter().any(|value| !value.is_blank());
            let said: Vec<&Json> = records.iter().filter(is_said).collect();
            if let Some(first) =
                said.first().filter(|_| said.iter().all(|one| document::value(field, one, formats).is_none()))
            {
                let words = field.at.find(first).and_then(Json::words).unwrap_or_default();
                let message = format!("No record has a value of its type; the first has `{words}`.");
                let item =
                    CheckItem::warning(format!("{}: field `{}` has its type", collection.name, field.name), message);
                self.items.push(item.at(format!("{at}/fields/{number}")));
            }
        }
        if self.items.len() == before {
            self.items.push(CheckItem::ok(name));
        }
    }
}

const REACHED: &str = "the base URL answers";
const ACCEPTED: &str = "the credential is accepted";

fn failed(name: &str, failure: Failure, at: &str) -> CheckItem {
    let at = failure.config_pointer.unwrap_or_else(|| at.to_owned());
    CheckItem::failed(name, failure.message).at(at)
}
