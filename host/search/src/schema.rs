//! The fields of an index, and how a document becomes entries: one per chunk.
//!
//! What applies to the whole document (title, identifiers, brand, filters) is repeated on every chunk, so that any passage can
//! answer for it; attributes stand on the first chunk only.

use tantivy::{
    TantivyDocument, Term,
    schema::{FAST, Field, INDEXED, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions},
};
use tributary_core::{
    DocumentId, SourceId,
    document::{ChunkDraft, LiveDocument},
};

use crate::{
    analyse::Analyser,
    fields::{Flat, flatten},
    identifier::{has_shape, normal_form},
    language::{Language, primary_subtag},
};

/// Ranked text fields, in the order of [`Entries::text`].
pub(crate) const TEXT_FIELDS: [&str; 6] = ["title", "headings", "body", "codes", "brand", "attributes"];
/// Number of ranked text fields.
pub(crate) const TEXTS: usize = TEXT_FIELDS.len();
pub(crate) const TITLE: usize = 0;
pub(crate) const HEADINGS: usize = 1;
pub(crate) const BODY: usize = 2;
pub(crate) const CODES: usize = 3;
pub(crate) const BRAND: usize = 4;
pub(crate) const ATTRIBUTES: usize = 5;

pub(crate) const DOCUMENT_HIGH: &str = "document_high";
pub(crate) const DOCUMENT_LOW: &str = "document_low";
pub(crate) const EXTERNAL_ID: &str = "external_id";
pub(crate) const VERSION: &str = "version";
pub(crate) const CHUNK: &str = "chunk";
pub(crate) const UPDATED_AT: &str = "updated_at";
pub(crate) const NUMBER_NAME: &str = "number_name";
pub(crate) const NUMBER_VALUE: &str = "number_value";

/// Most words of a document's title that are indexed, in bytes of the title.
const MAX_TITLE_BYTES: usize = 2_048;

/// Handles of the fields.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    pub schema: Schema,
    /// Analysed terms, by field.
    pub text: [Field; TEXTS],
    /// Words as written, for the correction of typing mistakes.
    pub words: Field,
    /// Normal forms of identifiers that the document bears.
    pub identifiers: Field,
    /// Normal forms of identifiers that its title or a field mentions.
    pub mentions: Field,
    /// Terms of filters.
    pub exact: Field,
    /// The document's id, to delete by.
    document: Field,
    document_high: Field,
    document_low: Field,
    external_id: Field,
    version: Field,
    chunk: Field,
    updated_at: Field,
    number_name: Field,
    number_value: Field,
}

impl Entries {
    pub(crate) fn new() -> Self {
        let mut schema = Schema::builder();
        let indexed = |tokenizer: &str, option: IndexRecordOption, norms: bool| {
            TextOptions::default().set_indexing_options(
                TextFieldIndexing::default().set_tokenizer(tokenizer).set_index_option(option).set_fieldnorms(norms),
            )
        };
        let text = TEXT_FIELDS
            .map(|name| schema.add_text_field(name, indexed("whitespace", IndexRecordOption::WithFreqs, true)));
        let set = |tokenizer| indexed(tokenizer, IndexRecordOption::Basic, false);
        let number = NumericOptions::default().set_fast();
        Self {
            text,
            words: schema.add_text_field("words", set("whitespace")),
            identifiers: schema.add_text_field("identifiers", set("raw")),
            mentions: schema.add_text_field("mentions", set("raw")),
            exact: schema.add_text_field("exact", set("raw")),
            document: schema.add_bytes_field("document", INDEXED),
            document_high: schema.add_u64_field(DOCUMENT_HIGH, number.clone()),
            document_low: schema.add_u64_field(DOCUMENT_LOW, number.clone()),
            external_id: schema.add_text_field(EXTERNAL_ID, FAST),
            version: schema.add_i64_field(VERSION, number.clone()),
            chunk: schema.add_i64_field(CHUNK, number.clone()),
            updated_at: schema.add_i64_field(UPDATED_AT, number.clone()),
            number_name: schema.add_u64_field(NUMBER_NAME, number.clone()),
            number_value: schema.add_f64_field(NUMBER_VALUE, number),
            schema: schema.build(),
        }
    }

    /// The term that all entries of a document carry.
    pub(crate) fn document_term(&self, id: DocumentId) -> Term {
        Term::from_field_bytes(self.document, id.0.as_bytes())
    }

    /// The entries of a live document, one per chunk (one without text when it has none).
    pub(crate) fn entries(&self, id: DocumentId, live: &LiveDocument, analyser: &mut Analyser) -> Vec<TantivyDocument> {
        let language = Language::of(live.language.as_deref());
        let shared = self.shared(live, language, analyser);
        let flat = &shared.flat;
        let empty = [ChunkDraft { section: Vec::new(), locator: None, start: 0, text: String::new() }];
        let chunks = if live.chunks.is_empty() { &empty[..] } else { &live.chunks };
        let mut entries = Vec::with_capacity(chunks.len());
        for (i, chunk) in chunks.iter().enumerate() {
            let mut entry = TantivyDocument::new();
            let mut plain = String::with_capacity(chunk.text.len() + shared.plain.len());
            let mut add = |field: usize, text: &str, analyser: &mut Analyser| {
                if text.is_empty() {
                    return;
                }
                let mut terms = String::with_capacity(text.len());
                analyser.append(text, language, &mut terms, &mut plain);
                entry.add_text(self.text[field], terms);
            };
            add(HEADINGS, &chunk.section.join("\n"), analyser);
            add(BODY, &chunk.text, analyser);
            if i == 0 {
                add(ATTRIBUTES, &flat.attributes, analyser);
                plain.push_str(&shared.plain);
            }
            for (field, terms) in &shared.terms {
                entry.add_text(*field, terms);
            }
            entry.add_text(self.words, &plain);
            flat.identifiers.iter().for_each(|form| entry.add_text(self.identifiers, form));
            shared.mentions.iter().for_each(|form| entry.add_text(self.mentions, form));
            shared.exact.iter().chain(&flat.exact).for_each(|term| entry.add_text(self.exact, term));
            entry.add_bytes(self.document, id.0.as_bytes());
            let (high, low) = id.0.as_u64_pair();
            entry.add_u64(self.document_high, high);
            entry.add_u64(self.document_low, low);
            entry.add_text(self.external_id, &live.external_id);
            entry.add_i64(self.version, live.version);
            entry.add_i64(self.chunk, i as i64);
            entry.add_i64(self.updated_at, live.updated_at.timestamp_micros());
            for (name, value) in &flat.numbers {
                entry.add_u64(self.number_name, *name);
                entry.add_f64(self.number_value, *value);
            }
            entries.push(entry);
        }
        entries
    }

    /// What all chunks of a document share, analysed once.
    fn shared(&self, live: &LiveDocument, language: Language, analyser: &mut Analyser) -> Shared {
        let mut flat = flatten(&live.fields, &live.title);
        let mut plain = String::new();
        let mut terms = Vec::new();
        let title = &live.title[..live.title.floor_char_boundary(MAX_TITLE_BYTES)];
        for (field, text) in [(TITLE, title), (CODES, &flat.codes), (BRAND, &flat.brand)] {
            if !text.is_empty() {
                let mut analysed = String::with_capacity(text.len());
                analyser.append(text, language, &mut analysed, &mut plain);
                terms.push((self.text[field], analysed));
            }
        }
        let external = &live.external_id;
        if !external.contains(['/', '.']) && has_shape(external) && external.contains(char::is_alphabetic) {
            flat.identifiers.extend(normal_form(external));
        }
        flat.identifiers.sort_unstable();
        flat.identifiers.dedup();
        let mut mentions: Vec<String> = title
            .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"' | '/'))
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
            .filter(|word| has_shape(word))
            .filter_map(normal_form)
            .chain(flat.mentions.drain(..))
            .filter(|form| flat.identifiers.binary_search(form).is_err())
            .collect();
        mentions.sort_unstable();
        mentions.dedup();
        let mut exact = vec![source_term(live.source_id), kind_term(&live.kind)];
        exact.extend(live.language.as_deref().map(language_term));
        Shared { flat, plain, terms, mentions, exact }
    }
}

struct Shared {
    flat: Flat,
    plain: String,
    terms: Vec<(Field, String)>,
    mentions: Vec<String>,
    exact: Vec<String>,
}

/// The filter term of a source.
pub(crate) fn source_term(source: SourceId) -> String {
    format!("s{}", source.0.simple())
}

/// The filter term of a kind; long ones are cut, as the dictionary wants it.
pub(crate) fn kind_term(kind: &str) -> String {
    format!("k{}", &kind[..kind.floor_char_boundary(256)])
}

/// Prefix of [`language_term`].
pub(crate) const LANGUAGE_PREFIX: &str = "l";

/// The filter term of a language.
pub(crate) fn language_term(tag: &str) -> String {
    format!("{LANGUAGE_PREFIX}{}", primary_subtag(tag))
}
