//! Identifiers: SKUs, EANs, part and order numbers, by the name of the field that holds them and by their shape.
//!
//! Stored and looked up in one normal form (letters and digits only), so that separators never matter.

/// Longest identifier kept, in characters of the normal form.
const MAX_CHARS: usize = 64;
/// Most words of a query that may spell one identifier: `TN 2110`.
const MAX_WINDOW: usize = 3;

/// Names (lower case, letters and digits only) of fields that hold identifiers.
const FIELD_NAMES: &[&str] = &[
    "articleno",
    "articlenumber",
    "artikelnummer",
    "asin",
    "barcode",
    "casenumber",
    "ean",
    "ean13",
    "externalid",
    "gtin",
    "gtin12",
    "gtin13",
    "gtin14",
    "gtin8",
    "id",
    "identifier",
    "invoiceno",
    "invoicenumber",
    "isbn",
    "isbn10",
    "isbn13",
    "issn",
    "itemno",
    "itemnumber",
    "jan",
    "manufacturerpartnumber",
    "model",
    "modelno",
    "modelnumber",
    "mpn",
    "orderid",
    "orderno",
    "ordernumber",
    "partno",
    "partnumber",
    "pn",
    "productcode",
    "productid",
    "serial",
    "serialnumber",
    "sku",
    "skus",
    "ticketnumber",
    "trackingnumber",
    "upc",
    "variantsku",
];

/// Words before a number that say it is one of ours: `order 1017`.
const CUES: &[&str] = &[
    "article",
    "artikel",
    "bestellnummer",
    "bestellung",
    "case",
    "code",
    "ean",
    "gtin",
    "id",
    "invoice",
    "isbn",
    "item",
    "model",
    "mpn",
    "no",
    "nr",
    "number",
    "order",
    "part",
    "rechnung",
    "sku",
    "ticket",
    "upc",
];

/// Letters and digits of `value`, lower case; codes of a barcode length lose leading zeros, so that UPC, EAN and GTIN-14 of one
/// article meet. `None` when nothing useful is left.
pub(crate) fn normal_form(value: &str) -> Option<String> {
    let mut form = String::new();
    for c in value.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).take(MAX_CHARS + 1) {
        form.push(c);
    }
    if form.len() >= 12 && form.bytes().all(|b| b.is_ascii_digit()) {
        form = form.trim_start_matches('0').to_owned();
    }
    (form.chars().count() >= 2 && form.chars().count() <= MAX_CHARS).then_some(form)
}

/// Whether a field of this name holds identifiers.
pub(crate) fn is_identifier_field(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(40).collect();
    FIELD_NAMES.binary_search(&plain.as_str()).is_ok()
}

/// Whether a word looks like an identifier wherever it stands: letters and digits mixed, or a long number.
pub(crate) fn has_shape(word: &str) -> bool {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let joints = word.chars().filter(|c| matches!(c, '-' | '_' | '/' | '.')).count();
    let others = word.chars().count() - letters - digits - joints;
    others == 0 && ((digits >= 2 && letters >= 1 && letters + digits >= 5) || (letters == 0 && digits >= 7))
}

/// A normal form a query may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The normal form.
    pub form: String,
    /// Words of the query it covers.
    pub words: std::ops::Range<usize>,
}

/// Identifiers `query` may name: each window of one to three words whose shape, neighbours or solitude let it be one.
pub(crate) fn candidates(query: &str) -> Vec<Candidate> {
    let words: Vec<&str> = query
        .split(|c: char| {
            c.is_whitespace() || matches!(c, ',' | ';' | ':' | '(' | ')' | '[' | ']' | '"' | '?' | '!' | '=' | '#')
        })
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .take(32)
        .collect();
    let mut found: Vec<Candidate> = Vec::new();
    for start in 0..words.len() {
        for end in start + 1..=(start + MAX_WINDOW).min(words.len()) {
            let window = &words[start..end];
            let Some(form) = normal_form(&window.concat()) else { continue };
            let alone = window.len() == words.len();
            let cued = start > 0 && CUES.contains(&words[start - 1].to_lowercase().as_str());
            if plausible(&form, window.len(), alone, cued) && !found.iter().any(|other| other.form == form) {
                found.push(Candidate { form, words: start..end });
            }
        }
    }
    found
}

/// Whether a window of the query may be an identifier: `xbox` or `2019` inside a sentence are words, `np01mr` is none.
fn plausible(form: &str, words: usize, alone: bool, cued: bool) -> bool {
    let digits = form.bytes().filter(u8::is_ascii_digit).count();
    let chars = form.chars().count();
    if cued {
        return digits > 0 || words == 1;
    }
    if digits == 0 {
        return alone && words == 1 && chars >= 4;
    }
    if digits == chars {
        return alone || digits >= 5;
    }
    chars >= 4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forms(query: &str) -> Vec<String> {
        candidates(query).into_iter().map(|candidate| candidate.form).collect()
    }

    #[test]
    fn names_are_sorted() {
        assert!(FIELD_NAMES.is_sorted(), "{:?}", FIELD_NAMES.windows(2).find(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn separators_and_leading_zeros_do_not_matter() {
        assert_eq!(normal_form("TN-2110").as_deref(), Some("tn2110"));
        assert_eq!(normal_form("0095205603217"), normal_form("95205603217"));
        assert_eq!(normal_form("0095205603217"), normal_form("0 095205-603217"));
        assert_eq!(normal_form("-"), None);
    }

    #[test]
    fn windows_of_a_query_that_may_be_identifiers() {
        assert!(forms("do you have tn 2110 in stock").contains(&"tn2110".to_owned()));
        assert!(forms("where is order 1017?").contains(&"1017".to_owned()));
        assert!(!forms("windows of 2019 houses").contains(&"2019".to_owned()));
        assert_eq!(forms("surtrk"), ["surtrk"]);
    }

    proptest! {
        #[test]
        fn any_query_yields_few_candidates(query in any::<String>()) {
            prop_assert!(candidates(&query).len() <= 32 * MAX_WINDOW);
        }
    }
}
