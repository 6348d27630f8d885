//! XML as JSON: an element is its text, or an object of its attributes (`@name`), its elements and its own text (`#text`); elements
//! of one name are a list. No DTD, no entity but the predefined five.

use encoding_rs::Encoding;
use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

use super::{Decoded, Window};
use crate::json::{Json, MAX_DEPTH, Pointer};

/// The encoding that the declaration names.
pub(super) fn encoding(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    let declaration = head.split("?>").next()?;
    let label = declaration.split("encoding=").nth(1)?;
    let quote = label.chars().next()?;
    Encoding::for_label(label[1..].split(quote).next()?.as_bytes())
}

/// An element being read.
struct Element {
    name: String,
    members: Vec<(String, Json)>,
    text: String,
    /// How many steps to the records it is along, when it is on the way.
    way: Option<usize>,
    kept: bool,
}

impl Element {
    fn add(&mut self, name: String, value: Json) {
        match self.members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, Json::List(items))) => items.push(value),
            Some((_, first)) => {
                let one = std::mem::replace(first, Json::Null);
                *first = Json::List(vec![one, value]);
            }
            None => self.members.push((name, value)),
        }
    }

    fn finish(mut self) -> (String, Json) {
        let text = self.text.trim();
        if self.members.is_empty() {
            return (self.name, Json::Text(text.to_owned()));
        }
        if !text.is_empty() {
            self.members.push(("#text".to_owned(), Json::Text(text.to_owned())));
        }
        (self.name, Json::Object(self.members))
    }
}

pub(super) fn decode(source: &str, records: &Pointer, window: Window) -> Result<Decoded, String> {
    let mut out = Decoded { records: Vec::new(), total: 0, envelope: Json::Null, found: records.0.is_empty() };
    let mut reader = Reader::from_str(source.trim_start_matches('\u{feff}'));
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.allow_dangling_amp = true;
    let goal = records.0.len();
    let root = Element { name: String::new(), members: Vec::new(), text: String::new(), way: Some(0), kept: true };
    let mut open = vec![root];
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let Some(top) = open.last_mut() else { return Err("it ends more elements than it starts".to_owned()) };
        match event {
            Event::Start(tag) => {
                let name = tag.name().into_inner().to_owned();
                let step = |steps: usize| records.0.get(steps).is_some_and(|step| step == "*" || *step == name);
                let way = top.way.filter(|steps| step(*steps)).map(|steps| steps + 1);
                let is_record = way == Some(goal) && goal > 0;
                // A parent that is there without any record is an empty list.
                out.found |= is_record || (goal > 1 && way == Some(goal - 1));
                let kept = if is_record { window.has(out.total) } else { top.kept };
                let mut element = Element { name, members: Vec::new(), text: String::new(), way, kept };
                if is_record {
                    element.way = None;
                    out.total += 1;
                }
                if kept {
                    element.members = attributes(&tag);
                }
                // A record is told by its place on the stack: its parent is on the way and it is not.
                open.push(element);
                if open.len() > MAX_DEPTH {
                    return Err(format!("it is nested more than {MAX_DEPTH} deep"));
                }
            }
            Event::End(_) => {
                let Some(element) = open.pop() else { continue };
                let Some(parent) = open.last_mut() else {
                    return Err("it ends more elements than it starts".to_owned());
                };
                let last = records.0.last().is_some_and(|last| last == "*" || *last == element.name);
                let is_record = element.way.is_none() && parent.way == goal.checked_sub(1) && goal > 0 && last;
                match (is_record, element.kept) {
                    (true, true) => out.records.push(element.finish().1),
                    (false, true) => {
                        let (name, value) = element.finish();
                        parent.add(name, value);
                    }
                    (_, false) => {}
                }
            }
            Event::Text(text) if top.kept => top.text.push_str(&text.into_inner()),
            Event::CData(text) if top.kept => top.text.push_str(&text.into_inner()),
            Event::GeneralRef(reference) if top.kept => match reference.resolve_char_ref() {
                Ok(Some(c)) => top.text.push(c),
                _ => top.text.push_str(resolve_predefined_entity(&reference).unwrap_or_default()),
            },
            Event::Eof if open.len() > 1 => return Err("it breaks off".to_owned()),
            Event::Eof => break,
            _ => {}
        }
    }
    let root = open.pop().map(|root| Json::Object(root.members)).unwrap_or(Json::Null);
    if root.is_blank() && out.total == 0 {
        return Err("it has no element".to_owned());
    }
    out.envelope = root;
    Ok(out)
}

fn attributes(tag: &BytesStart<'_>) -> Vec<(String, Json)> {
    let mut attributes = tag.attributes();
    // Looking for duplicates is quadratic.
    let read = attributes.with_checks(false).flatten().map(|attribute| {
        let value = attribute.normalized_value_with(XmlVersion::Implicit1_0, 1, resolve_predefined_entity);
        let value = value.map_or_else(|_| attribute.value.clone().into_owned(), |value| value.into_owned());
        (format!("@{}", attribute.key.into_inner()), Json::Text(value))
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, records: &str, skip: usize, take: usize) -> (Vec<String>, usize, bool) {
        let decoded = decode(text, &Pointer::parse(records).unwrap(), Window { skip, take }).unwrap();
        (decoded.records.iter().map(Json::to_string).collect(), decoded.total, decoded.found)
    }

    const RSS: &str = r#"<?xml version="1.0"?><rss xmlns:g="x"><channel><title>T</title>
        <item g:n="1"><g:id>7</g:id><tag>a</tag><tag>b</tag><d><![CDATA[<p>x &amp; y</p>]]></d></item>
        <item><g:id>8 &amp; &#57;</g:id></item></channel></rss>"#;

    #[test]
    fn elements_become_members_and_repeated_ones_lists() {
        let (records, total, found) = read(RSS, "/rss/channel/item", 0, 10);
        assert_eq!((total, found), (2, true));
        assert_eq!(records[0], r#"{"@g:n":"1","g:id":"7","tag":["a","b"],"d":"<p>x &amp; y</p>"}"#);
        assert_eq!(records[1], r#"{"g:id":"8 & 9"}"#);
        assert_eq!(read(RSS, "/rss/channel/item", 1, 10).0.len(), 1);
        assert_eq!(read("<rss><channel/></rss>", "/rss/channel/item", 0, 10), (vec![], 0, true));
        assert!(!read("<html/>", "/rss/channel/item", 0, 10).2);
        let envelope = decode(RSS, &Pointer::parse("/rss/channel/item").unwrap(), Window { skip: 0, take: 9 }).unwrap();
        assert_eq!(envelope.envelope.get("rss").unwrap().get("channel").unwrap().to_string(), r#"{"title":"T"}"#);
    }

    #[test]
    fn entities_of_a_dtd_say_nothing_and_depth_ends() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"boom\">]><a><i>&b;</i></a>";
        assert_eq!(read(bomb, "/a/i", 0, 9).0, [r#""""#]);
        let deep = "<a>".repeat(5_000);
        assert!(decode(&deep, &Pointer::parse("/x").unwrap(), Window { skip: 0, take: 1 }).is_err());
        for broken in ["<a><b>", "", "<a></b>", "no xml"] {
            assert!(decode(broken, &Pointer::parse("/a/b").unwrap(), Window { skip: 0, take: 1 }).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_xml_or_an_error(text in "[<>/a-c&;!\\[\\]?\"'= ]{0,40}", records in "(/[a-c*]){0,3}") {
            let _ = decode(&text, &Pointer::parse(&records).unwrap(), Window { skip: 0, take: 5 });
        }
    }
}
