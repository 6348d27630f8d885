//! Filters, applied to entries before the best are chosen.
//!
//! Equality is a look-up of terms; comparisons read the numbers of an entry. A condition that cannot hold for any document
//! (a comparison with an object) matches nothing: a filter must never let through more than it says.

use serde_json::Value as Json;
use tantivy::{BitSet, schema::IndexRecordOption};
use tributary_core::{
    fields::{Fields, as_money},
    query::{FieldFilter, FieldOp, Filters},
};

use crate::{
    fields::{exact_bool, exact_text, flatten, moment, name_hash},
    schema::{kind_term, language_term, source_term},
    snapshot::{Segment, Snapshot},
};

/// Most values that one filter lists.
const MAX_VALUES: usize = 1_000;

/// One condition; all must hold.
enum Condition {
    /// Carries any of the terms (or none, when `negated`), or a number equal to one of them.
    Equal { terms: Vec<String>, name: u64, numbers: Vec<f64>, negated: bool },
    /// Has a number under `name` for which the comparison holds.
    Compare { name: u64, op: FieldOp, with: f64 },
    /// Changed after this, in microseconds.
    UpdatedAfter(i64),
    /// Holds for nothing.
    Never,
}

/// Filters made ready for one snapshot.
pub(crate) struct Prepared {
    conditions: Vec<Condition>,
    /// For each `Equal`, the entries of each segment that carry a term.
    carriers: Vec<Vec<BitSet>>,
}

impl Prepared {
    /// Looks up the terms of `filters`.
    pub(crate) fn new(filters: &Filters, snapshot: &Snapshot) -> tantivy::Result<Self> {
        let conditions = conditions(filters);
        let mut carriers = Vec::with_capacity(conditions.len());
        for condition in &conditions {
            let mut sets = Vec::new();
            if let Condition::Equal { terms, .. } = condition {
                for segment in &snapshot.segments {
                    sets.push(carrying(segment, terms)?);
                }
            }
            carriers.push(sets);
        }
        Ok(Self { conditions, carriers })
    }

    /// Whether every entry passes.
    pub(crate) fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether the entry passes; `segment` is its place in the snapshot.
    pub(crate) fn passes(&self, place: usize, segment: &Segment, entry: u32) -> bool {
        self.conditions.iter().zip(&self.carriers).all(|(condition, carriers)| match condition {
            Condition::Equal { name, numbers, negated, .. } => {
                let equal = carriers[place].contains(entry)
                    || (!numbers.is_empty() && values(segment, entry, *name).any(|value| numbers.contains(&value)));
                equal != *negated
            }
            Condition::Compare { name, op, with } => {
                values(segment, entry, *name).any(|value| compares(*op, value, *with))
            }
            Condition::UpdatedAfter(moment) => segment.updated_at.first(entry).is_some_and(|updated| updated > *moment),
            Condition::Never => false,
        })
    }
}

/// Whether fields meet all of these conditions, as they would in a search.
pub fn fields_hold(filters: &[FieldFilter], fields: &Fields) -> bool {
    if filters.is_empty() {
        return true;
    }
    let flat = flatten(fields, "");
    let numbers = |name: u64| flat.numbers.iter().filter(move |(other, _)| *other == name).map(|(_, value)| *value);
    filters.iter().map(field_condition).all(|condition| match condition {
        Condition::Equal { terms, name, numbers: equal, negated } => {
            let found =
                flat.exact.iter().any(|term| terms.contains(term)) || numbers(name).any(|value| equal.contains(&value));
            found != negated
        }
        Condition::Compare { name, op, with } => numbers(name).any(|value| compares(op, value, with)),
        Condition::UpdatedAfter(_) | Condition::Never => false,
    })
}

fn compares(op: FieldOp, value: f64, with: f64) -> bool {
    match op {
        FieldOp::Lt => value < with,
        FieldOp::Lte => value <= with,
        FieldOp::Gt => value > with,
        FieldOp::Gte => value >= with,
        FieldOp::Eq | FieldOp::Ne | FieldOp::In => false,
    }
}

fn values(segment: &Segment, entry: u32, name: u64) -> impl Iterator<Item = f64> + '_ {
    let names = segment.number_name.values_for_doc(entry);
    names
        .zip(segment.number_value.values_for_doc(entry))
        .filter(move |(other, _)| *other == name)
        .map(|(_, value)| value)
}

fn carrying(segment: &Segment, terms: &[String]) -> tantivy::Result<BitSet> {
    let mut set = BitSet::with_max_value(segment.len);
    for term in terms {
        if let Some(info) = segment.exact.terms().get(term)? {
            let mut block = segment.exact.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
            while !block.docs().is_empty() {
                for entry in block.docs() {
                    set.insert(*entry);
                }
                block.advance();
            }
        }
    }
    Ok(set)
}

fn conditions(filters: &Filters) -> Vec<Condition> {
    let any_of = |terms: Vec<String>| Condition::Equal { terms, name: 0, numbers: Vec::new(), negated: false };
    let mut conditions = Vec::new();
    if !filters.source_ids.is_empty() {
        conditions.push(any_of(filters.source_ids.iter().take(MAX_VALUES).map(|id| source_term(*id)).collect()));
    }
    if !filters.kinds.is_empty() {
        conditions.push(any_of(filters.kinds.iter().take(MAX_VALUES).map(|kind| kind_term(kind)).collect()));
    }
    if !filters.languages.is_empty() {
        conditions.push(any_of(filters.languages.iter().take(MAX_VALUES).map(|tag| language_term(tag)).collect()));
    }
    conditions.extend(filters.updated_after.map(|moment| Condition::UpdatedAfter(moment.timestamp_micros())));
    conditions.extend(filters.fields.iter().map(field_condition));
    conditions
}

fn field_condition(filter: &FieldFilter) -> Condition {
    match filter.op {
        FieldOp::Eq | FieldOp::Ne | FieldOp::In => {
            let listed = match (&filter.op, &filter.value) {
                (FieldOp::In, Json::Array(values)) => values.iter().take(MAX_VALUES).collect(),
                (_, value) => vec![value],
            };
            let (mut terms, mut numbers) = (Vec::new(), Vec::new());
            for value in listed {
                match value {
                    Json::String(text) => {
                        terms.push(exact_text(&filter.name, text));
                        // `"19.90"` equals a price of 19.9, which is not stored as text.
                        numbers.extend(text.parse::<f64>().ok().filter(|number| number.is_finite()));
                    }
                    Json::Bool(flag) => terms.push(exact_bool(&filter.name, *flag)),
                    other => numbers.extend(number(other)),
                }
            }
            let negated = filter.op == FieldOp::Ne;
            Condition::Equal { terms, name: name_hash(&filter.name), numbers, negated }
        }
        op => match number(&filter.value) {
            Some(with) => Condition::Compare { name: name_hash(&filter.name), op, with },
            None => Condition::Never,
        },
    }
}

/// A number, the amount of money, the number in a text or the moment it names.
fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse::<f64>().ok().or_else(|| moment(text)),
        other => as_money(other).and_then(|(amount, _)| amount.parse().ok()),
    }
    .filter(|number| number.is_finite())
}
