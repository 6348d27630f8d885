//! The same connector, asked the same again: it must answer byte for byte.

use serde::Serialize;
use serde_json::Value;
use tributary_sandbox::Connector;

use super::{Recording, Returned};

/// How one page came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayedPage {
    /// Counted from 1.
    pub page: usize,
    /// Changes that were recorded.
    pub changes: usize,
    /// Where it parts from what was recorded.
    pub difference: Option<Difference>,
    /// What it asked for that was not recorded.
    pub not_recorded: Vec<String>,
}

/// The first place where two pages part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// JSON pointer into the page.
    pub at: String,
    /// What was recorded there.
    pub recorded: Value,
    /// What came now.
    pub now: Value,
}

/// Plays every page; `see` sees each as it comes.
pub async fn replay(connector: &dyn Connector, recording: &Recording, mut see: impl FnMut(ReplayedPage)) {
    for (index, page) in recording.pages.iter().enumerate() {
        let player = recording.at(page);
        let services = player.services(&page.begin);
        let result = connector.pull(&page.begin.request, &services).await;
        let (now, _) = Returned::of(&result, &services);
        let recorded = page.returned.as_ref();
        let changes = recorded.and_then(|returned| returned.page.as_ref().ok()).map_or(0, |page| page.changes.len());
        let json = |returned: Option<&Returned>| serde_json::to_value(returned).unwrap_or_default();
        let difference = difference("", &json(recorded), &json(Some(&now)));
        see(ReplayedPage { page: index + 1, changes, difference, not_recorded: player.missing() });
    }
}

/// The first difference, by the order of members.
fn difference(at: &str, recorded: &Value, now: &Value) -> Option<Difference> {
    let differs = || Some(Difference { at: at.to_owned(), recorded: recorded.clone(), now: now.clone() });
    match (recorded, now) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            one.iter().find_map(|(name, value)| difference(&format!("{at}/{name}"), value, &other[name]))
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(index, (one, other))| difference(&format!("{at}/{index}"), one, other))
        }
        _ if recorded == now => None,
        _ => differs(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::difference;

    #[test]
    fn the_first_difference_is_named() {
        let one = json!({ "page": { "changes": [1, { "title": "a" }] } });
        assert_eq!(difference("", &one, &one), None);
        let other = json!({ "page": { "changes": [1, { "title": "b" }] } });
        let found = difference("", &one, &other).unwrap();
        assert_eq!((found.at.as_str(), found.recorded, found.now), ("/page/changes/1/title", json!("a"), json!("b")));
    }
}
