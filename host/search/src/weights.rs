//! The numbers of ranking, tuned on the development sets (products, help, encyclopaedic paragraphs) to serve all of them at once.

use crate::schema::TEXTS;

// BM25F: weighted, length-normalised frequencies of all fields are added up before they saturate (Robertson, Zaragoza & Taylor,
// CIKM 2004). In the order title, headings, body, codes, brand, attributes:

/// What a word counts in a field.
pub(crate) const FIELD: [f32; TEXTS] = [3.5, 1.5, 1.0, 0.5, 1.0, 0.3];

/// How far a field's length counts against it. Attributes are lists of very different lengths, so theirs counts in full.
pub(crate) const LENGTH: [f32; TEXTS] = [0.5, 0.5, 0.75, 0.5, 0.5, 1.0];

/// Exponent of a word's frequency in a field: prose repeats by habit, a title that repeats a word is about it.
pub(crate) const REPETITION: [f32; TEXTS] = [1.15, 1.0, 0.6, 1.0, 1.0, 1.0];

/// Where more of the same word stops to help.
pub(crate) const SATURATION: f32 = 2.5;

/// A query of two or three words is usually a conjunction: its score is multiplied by the covered share of its words to this power.
/// Longer queries lose by it.
pub(crate) const COVERAGE: i32 = 3;
pub(crate) const COVERED_WORDS: usize = 3;

/// Weight of a stop word beside other words. It cannot bring up a passage, only move one that matches anyway.
pub(crate) const STOP_WORD: f32 = 0.4;

/// Weight of two neighbouring words of the query written as one (`smart watch`, `smartwatch`).
pub(crate) const COMPOUND: f32 = 0.3;

/// Share of a corrected word, per step of edit distance.
pub(crate) const CORRECTION: f32 = 0.8;
