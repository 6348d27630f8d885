//! A read view of one committed state of an index, with the statistics of exactly the live entries in it.
//!
//! Ranking must not depend on how documents arrived: counts and lengths are taken over live entries only, never from segment
//! totals, which still hold what was deleted.

use std::sync::Arc;

use tantivy::{
    Index, ReloadPolicy, Searcher, SegmentReader,
    columnar::{Column, StrColumn},
    fastfield::AliveBitSet,
    fieldnorm::FieldNormReader,
    index::InvertedIndexReader,
};
use tributary_core::{DocumentId, Position};
use uuid::Uuid;

use crate::{
    language::{DEFAULT, Language},
    schema::{self, Entries, TEXTS},
    weights,
};

/// One immutable part of an index.
pub(crate) struct Segment {
    /// Number of the first entry, counted over all segments.
    pub base: u32,
    /// Entries, deleted ones included.
    pub len: u32,
    /// Which entries live; `None`: all.
    pub alive: Option<AliveBitSet>,
    pub text: [Arc<InvertedIndexReader>; TEXTS],
    pub norms: [Option<FieldNormReader>; TEXTS],
    pub words: Arc<InvertedIndexReader>,
    pub identifiers: Arc<InvertedIndexReader>,
    pub mentions: Arc<InvertedIndexReader>,
    pub exact: Arc<InvertedIndexReader>,
    pub updated_at: Column<i64>,
    pub number_name: Column<u64>,
    pub number_value: Column<f64>,
    document_high: Column<u64>,
    document_low: Column<u64>,
    version: Column<i64>,
    chunk: Column<i64>,
    external_id: Option<StrColumn>,
}

/// A committed state.
pub(crate) struct Snapshot {
    pub position: Position,
    pub segments: Vec<Segment>,
    /// Entries, deleted ones included.
    pub len: u32,
    /// Entries that live.
    pub live: u32,
    /// `norm[field][norm id]`: a field's weight divided by its length normalisation.
    pub norm: [Vec<f32>; TEXTS],
    /// The languages of the documents, the default first.
    pub languages: Vec<Language>,
    _searcher: Searcher,
}

impl Snapshot {
    /// Reads the last commit of `index`, which holds `position`.
    pub(crate) fn load(index: &Index, entries: &Entries, position: Position) -> tantivy::Result<Self> {
        let reader =
            index.reader_builder().reload_policy(ReloadPolicy::Manual).doc_store_cache_num_blocks(0).try_into()?;
        let searcher = reader.searcher();
        let mut segments = Vec::with_capacity(searcher.segment_readers().len());
        let mut len = 0;
        for reader in searcher.segment_readers() {
            segments.push(Segment::open(reader, entries, len)?);
            len += reader.max_doc();
        }
        let live = searcher.num_docs() as u32;
        let norm = std::array::from_fn(|field| norm_table(field, &segments));
        let languages = languages(&segments)?;
        Ok(Self { position, segments, len, live, norm, languages, _searcher: searcher })
    }

    /// The segment of an entry and its place among the segments.
    pub(crate) fn locate(&self, entry: u32) -> (usize, &Segment) {
        let place = self.segments.partition_point(|segment| segment.base <= entry) - 1;
        (place, &self.segments[place])
    }
}

impl Segment {
    fn open(reader: &SegmentReader, entries: &Entries, base: u32) -> tantivy::Result<Self> {
        let mut text = Vec::with_capacity(TEXTS);
        let mut norms: [Option<FieldNormReader>; TEXTS] = Default::default();
        for (field, norm) in entries.text.into_iter().zip(&mut norms) {
            text.push(reader.inverted_index(field)?);
            *norm = reader.fieldnorms_readers().get_field(field)?;
        }
        let columns = reader.fast_fields();
        Ok(Self {
            base,
            len: reader.max_doc(),
            alive: reader.alive_bitset().cloned(),
            text: text.try_into().unwrap_or_else(|_| unreachable!("one reader was pushed per field")),
            norms,
            words: reader.inverted_index(entries.words)?,
            identifiers: reader.inverted_index(entries.identifiers)?,
            mentions: reader.inverted_index(entries.mentions)?,
            exact: reader.inverted_index(entries.exact)?,
            updated_at: columns.i64(schema::UPDATED_AT)?,
            number_name: columns.u64(schema::NUMBER_NAME)?,
            number_value: columns.f64(schema::NUMBER_VALUE)?,
            document_high: columns.u64(schema::DOCUMENT_HIGH)?,
            document_low: columns.u64(schema::DOCUMENT_LOW)?,
            version: columns.i64(schema::VERSION)?,
            chunk: columns.i64(schema::CHUNK)?,
            external_id: columns.str(schema::EXTERNAL_ID)?,
        })
    }

    pub(crate) fn is_alive(&self, entry: u32) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.is_alive(entry))
    }

    pub(crate) fn document(&self, entry: u32) -> DocumentId {
        let half = |column: &Column<u64>| column.first(entry).unwrap_or(0);
        DocumentId(Uuid::from_u64_pair(half(&self.document_high), half(&self.document_low)))
    }

    pub(crate) fn version(&self, entry: u32) -> i64 {
        self.version.first(entry).unwrap_or(0)
    }

    pub(crate) fn chunk(&self, entry: u32) -> i64 {
        self.chunk.first(entry).unwrap_or(0)
    }

    /// The external id's place among those of this segment, which has their order.
    pub(crate) fn external_ordinal(&self, entry: u32) -> u64 {
        self.external_id.as_ref().and_then(|column| column.ords().first(entry)).unwrap_or(0)
    }

    pub(crate) fn external_id(&self, ordinal: u64) -> String {
        let mut text = String::new();
        if let Some(column) = &self.external_id {
            // An ordinal that is not there leaves the text empty.
            let _ = column.ord_to_str(ordinal, &mut text);
        }
        text
    }
}

/// A field's weight over its length normalisation, for each of the 256 encoded lengths. The average length is taken over the
/// live entries that have the field at all.
fn norm_table(field: usize, segments: &[Segment]) -> Vec<f32> {
    let mut seen = [0u64; 256];
    for segment in segments {
        if let Some(norms) = &segment.norms[field] {
            for entry in (0..segment.len).filter(|entry| segment.is_alive(*entry)) {
                seen[usize::from(norms.fieldnorm_id(entry))] += 1;
            }
        }
    }
    let length = |id: usize| u64::from(FieldNormReader::id_to_fieldnorm(id as u8));
    let having: u64 = seen[1..].iter().sum();
    let total: u64 = seen.iter().enumerate().map(|(id, count)| count * length(id)).sum();
    let average = if having == 0 { 1.0 } else { total as f32 / having as f32 };
    let b = weights::LENGTH[field];
    (0..256).map(|id| weights::FIELD[field] / (1.0 - b + b * length(id) as f32 / average)).collect()
}

fn languages(segments: &[Segment]) -> tantivy::Result<Vec<Language>> {
    let mut languages = vec![DEFAULT];
    for segment in segments {
        let mut stream = segment.exact.terms().range().ge(schema::LANGUAGE_PREFIX).lt("m").into_stream()?;
        while stream.advance() {
            let tag = String::from_utf8_lossy(&stream.key()[schema::LANGUAGE_PREFIX.len()..]).into_owned();
            let language = Language::of(Some(&tag));
            if !languages.contains(&language) {
                languages.push(language);
            }
        }
    }
    // The order decides nothing but must not depend on the segments either.
    languages[1..].sort_unstable();
    Ok(languages)
}
