//! XML as tags and text, by local names. No entity but the predefined five, no DTD, bounded depth.

use std::borrow::Cow;

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};
use tributary_plugin_sdk::Failure;

use crate::fault;

/// Elements inside each other; office documents have a few dozen.
const MAX_DEPTH: usize = 400;

/// One step through a document. An empty element is a start and an end.
pub(crate) enum Step<'a> {
    Start(Tag<'a>),
    /// The end of the element with this local name.
    End(Cow<'a, str>),
    Text(Cow<'a, str>),
}

/// A start tag.
pub(crate) struct Tag<'a>(BytesStart<'a>);

impl Tag<'_> {
    /// Its name without the prefix.
    pub(crate) fn name(&self) -> &str {
        self.0.local_name().into_inner()
    }

    /// The value of an attribute by its local name.
    pub(crate) fn find(&self, name: &str) -> Option<String> {
        self.value(|key| key.rsplit(':').next() == Some(name))
    }

    /// The value of an attribute by its name with prefix.
    pub(crate) fn find_qualified(&self, name: &str) -> Option<String> {
        self.value(|key| key == name)
    }

    fn value(&self, is_it: impl Fn(&str) -> bool) -> Option<String> {
        let mut attributes = self.0.attributes();
        // Looking for duplicates is quadratic.
        let attribute = attributes.with_checks(false).flatten().find(|attribute| is_it(attribute.key.into_inner()))?;
        let value = attribute.normalized_value_with(XmlVersion::Implicit1_0, 1, resolve_predefined_entity);
        Some(value.map_or_else(|_| attribute.value.clone().into_owned(), Cow::into_owned))
    }
}

/// Steps through a document.
pub(crate) struct Steps<'a> {
    reader: Reader<&'a [u8]>,
    what: &'static str,
    depth: usize,
}

impl<'a> Steps<'a> {
    /// `what` is the document, as the subject of a sentence.
    pub(crate) fn new(source: &'a str, what: &'static str) -> Self {
        let mut reader = Reader::from_str(source);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        Self { reader, what, depth: 0 }
    }

    /// The next step; `None` at the end.
    ///
    /// # Errors
    /// Damaged.
    pub(crate) fn next(&mut self) -> Result<Option<Step<'a>>, Failure> {
        loop {
            let event = self.reader.read_event().map_err(|error| {
                fault::damaged(self.what, &format!("its XML breaks off or is not well-formed ({error})"))
            })?;
            return Ok(Some(match event {
                Event::Start(tag) => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(fault::damaged(self.what, "its elements are nested too deeply"));
                    }
                    Step::Start(Tag(tag))
                }
                Event::End(tag) => {
                    self.depth = self.depth.saturating_sub(1);
                    Step::End(Cow::Owned(tag.local_name().into_inner().to_owned()))
                }
                Event::Text(text) => Step::Text(text.into_inner()),
                Event::CData(text) => Step::Text(text.into_inner()),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(c)) => Step::Text(Cow::Owned(c.to_string())),
                    _ => match resolve_predefined_entity(&reference) {
                        Some(text) => Step::Text(Cow::Borrowed(text)),
                        None => continue,
                    },
                },
                Event::Eof if self.depth > 0 => return Err(fault::damaged(self.what, "its XML breaks off")),
                Event::Eof => return Ok(None),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => continue,
            }));
        }
    }
}
