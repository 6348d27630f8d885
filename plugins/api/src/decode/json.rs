//! JSON and JSON lines, event by event: what is not kept is never built.

use json_event_parser::{JsonEvent, SliceJsonParser};

use super::{Decoded, Window};
use crate::json::{Json, MAX_DEPTH, Pointer};

/// Where a value stands.
#[derive(Clone, Copy)]
enum Place {
    /// On the way to the records, so many steps along.
    Way(usize),
    Kept,
    Passed,
}

struct Walk<'a> {
    parser: SliceJsonParser<'a>,
    records: &'a [String],
    window: Window,
    out: Decoded,
}

pub(super) fn decode(text: &str, records: &Pointer, window: Window) -> Result<Decoded, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let out = Decoded { records: Vec::new(), total: 0, envelope: Json::Null, found: false };
    let mut walk = Walk { parser: SliceJsonParser::new(text.as_bytes()), records: &records.0, window, out };
    let first = walk.next()?;
    walk.out.envelope = walk.value(first, Place::Way(0), 0)?;
    match walk.next()? {
        JsonEvent::Eof => Ok(walk.out),
        _ => Err("it goes on after its end".to_owned()),
    }
}

/// One value for each line.
pub(super) fn lines(text: &str, window: Window) -> Result<Decoded, String> {
    let mut out = Decoded { records: Vec::new(), total: 0, envelope: Json::Null, found: true };
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        if window.has(out.total) {
            out.records.push(json_value(line).map_err(|what| format!("line {}: {what}", number + 1))?);
        }
        out.total += 1;
    }
    Ok(out)
}

/// The value that a text is.
pub(crate) fn json_value(text: &str) -> Result<Json, String> {
    let nowhere = Pointer(vec![String::new()]);
    let mut walk = Walk {
        parser: SliceJsonParser::new(text.as_bytes()),
        records: &nowhere.0,
        window: Window { skip: 0, take: 0 },
        out: Decoded { records: Vec::new(), total: 0, envelope: Json::Null, found: false },
    };
    let first = walk.next()?;
    let value = walk.value(first, Place::Kept, 0)?;
    match walk.next()? {
        JsonEvent::Eof => Ok(value),
        _ => Err("it goes on after its end".to_owned()),
    }
}

impl<'a> Walk<'a> {
    fn next(&mut self) -> Result<JsonEvent<'a>, String> {
        self.parser.parse_next().map_err(|error| {
            let at = error.location().start;
            format!("{} in line {}, column {}", error.message(), at.line + 1, at.column + 1)
        })
    }

    fn value(&mut self, event: JsonEvent<'a>, place: Place, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} deep"));
        }
        if let Place::Way(steps) = place {
            match self.records.get(steps).map(String::as_str) {
                None => return self.target(event, depth),
                // What is no list is a list of one.
                Some("*") if event != JsonEvent::StartArray => return self.value(event, Place::Way(steps + 1), depth),
                Some(_) => {}
            }
        }
        Ok(match event {
            JsonEvent::String(text) if !matches!(place, Place::Passed) => Json::Text(text.into_owned()),
            JsonEvent::Number(number) if !matches!(place, Place::Passed) => Json::Number(number.into_owned()),
            JsonEvent::Boolean(flag) => Json::Bool(flag),
            JsonEvent::StartArray => self.list(place, depth)?,
            JsonEvent::StartObject => self.object(place, depth)?,
            JsonEvent::Eof => return Err("it is empty".to_owned()),
            _ => Json::Null,
        })
    }

    fn list(&mut self, place: Place, depth: usize) -> Result<Json, String> {
        let mut items = Vec::new();
        for number in 0_usize.. {
            let event = self.next()?;
            if event == JsonEvent::EndArray {
                break;
            }
            let below = match place {
                Place::Way(steps) => {
                    let step = &self.records[steps];
                    if step == "*" || step.parse() == Ok(number) { Place::Way(steps + 1) } else { Place::Kept }
                }
                other => other,
            };
            let item = self.value(event, below, depth + 1)?;
            if !matches!(place, Place::Passed) {
                items.push(item);
            }
        }
        Ok(Json::List(items))
    }

    fn object(&mut self, place: Place, depth: usize) -> Result<Json, String> {
        let mut members = Vec::new();
        while let JsonEvent::ObjectKey(key) = self.next()? {
            let below = match place {
                Place::Way(steps) if self.records[steps] == key => Place::Way(steps + 1),
                Place::Way(_) => Place::Kept,
                other => other,
            };
            let event = self.next()?;
            let value = self.value(event, below, depth + 1)?;
            if !matches!(place, Place::Passed) {
                members.push((key.into_owned(), value));
            }
        }
        Ok(Json::Object(members))
    }

    /// What stands at `records`: a list of them, or a lone one.
    fn target(&mut self, event: JsonEvent<'a>, depth: usize) -> Result<Json, String> {
        self.out.found = true;
        match event {
            JsonEvent::StartArray => loop {
                match self.next()? {
                    JsonEvent::EndArray => return Ok(Json::List(Vec::new())),
                    item => self.record(item, depth + 1)?,
                }
            },
            JsonEvent::Null => {}
            lone => self.record(lone, depth)?,
        }
        Ok(Json::Null)
    }

    fn record(&mut self, event: JsonEvent<'a>, depth: usize) -> Result<(), String> {
        let kept = self.window.has(self.out.total);
        let value = self.value(event, if kept { Place::Kept } else { Place::Passed }, depth)?;
        self.out.total += 1;
        if kept {
            self.out.records.push(value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, records: &str, skip: usize, take: usize) -> Result<(Vec<String>, usize, String, bool), String> {
        let decoded = decode(text, &Pointer::parse(records).unwrap(), Window { skip, take })?;
        let records = decoded.records.iter().map(Json::to_string).collect();
        Ok((records, decoded.total, decoded.envelope.to_string(), decoded.found))
    }

    #[test]
    fn a_window_of_the_records_and_the_envelope_without_them() {
        let text = r#"{"meta":{"next":"x"},"data":[{"a":1},{"a":[2]},{"a":3}],"n":[1]}"#;
        let (records, total, envelope, found) = read(text, "/data", 1, 1).unwrap();
        assert_eq!((records, total, found), (vec![r#"{"a":[2]}"#.to_owned()], 3, true));
        assert_eq!(envelope, r#"{"meta":{"next":"x"},"data":[],"n":[1]}"#);
    }

    #[test]
    fn records_are_found_through_stars_and_may_be_alone() {
        assert_eq!(read(r#"{"e":[{"node":1},{"node":2}]}"#, "/e/*/node", 0, 9).unwrap().0, ["1", "2"]);
        assert_eq!(read(r#"[[1,2],[3]]"#, "/*", 0, 9).unwrap().0, ["1", "2", "3"]);
        assert_eq!(read(r#"{"a":{"b":1}}"#, "/a", 0, 9).unwrap().0, [r#"{"b":1}"#]);
        assert_eq!(read("[]", "", 0, 9).unwrap().1, 0);
        assert!(!read("{}", "/data", 0, 9).unwrap().3);
        assert_eq!(read(r#"{"data":null}"#, "/data", 0, 9).unwrap().1, 0);
    }

    #[test]
    fn what_is_no_json_says_where() {
        assert!(read("{\"a\":\n nope}", "", 0, 9).unwrap_err().contains("line 2"));
        assert!(read("", "", 0, 9).is_err());
        assert!(read("[1] [2]", "", 0, 9).is_err());
        assert!(read(&"[".repeat(100_000), "", 0, 9).unwrap_err().contains("nested"));
        assert!(read(&"[".repeat(100_000), "/x", 0, 9).is_err());
        assert!(read(&"{\"a\":".repeat(100_000), "", 0, 0).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_json_or_an_error(text in "[\\[\\]{}\",:0-9a-c.\\-ent \\\\u]{0,40}", records in "(/[a-c*0]){0,3}") {
            let ours = read(&text, &records, 0, 100);
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                prop_assert!(ours.is_ok(), "{:?}", ours);
            }
        }
    }
}
