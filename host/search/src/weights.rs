//! The numbers of ranking, tuned on the development sets with rules that hold for any of them.

use std::sync::LazyLock;

use crate::schema::TEXTS;

/// BM25F: terms of all fields are added up with weights before they saturate (Robertson, Zaragoza & Taylor 2004).
pub(crate) struct Weights {
    /// Title, headings, body, codes, brand, attributes.
    pub field: [f32; TEXTS],
    /// How far a field's length counts against it.
    pub b: [f32; TEXTS],
    /// Where repetition stops to help.
    pub k1: f32,
    /// Exponent of the covered share of the query's terms, for queries of at most [`Self::covered_terms`].
    pub coverage: f32,
    /// See [`Self::coverage`].
    pub covered_terms: usize,
    /// Two neighbouring words of the query written as one.
    pub compound: f32,
    /// A corrected word, per step of distance.
    pub typo: f32,
    pub extra: [f32; 8],
}

impl Weights {
    pub(crate) fn get() -> &'static Self {
        static WEIGHTS: LazyLock<Weights> = LazyLock::new(|| {
            let mut v: Vec<f32> = vec![
                3.0, 1.5, 1.0, 3.0, 1.0, 0.3, 0.5, 0.5, 0.5, 0.0, 0.0, 0.5, 1.2, 1.0, 3.0, 0.8, 0.8, 0., 0., 0., 0.,
                0., 0., 0., 0.,
            ];
            if let Ok(text) = std::env::var("W") {
                for pair in text.split(',').filter(|p| !p.is_empty()) {
                    let (i, x) = pair.split_once('=').expect("i=x");
                    v[i.parse::<usize>().expect("i")] = x.parse().expect("x");
                }
            }
            Weights {
                field: std::array::from_fn(|i| v[i]),
                b: std::array::from_fn(|i| v[6 + i]),
                k1: v[12],
                coverage: v[13],
                covered_terms: v[14] as usize,
                compound: v[15],
                typo: v[16],
                extra: std::array::from_fn(|i| v[17 + i]),
            }
        });
        &WEIGHTS
    }
}
