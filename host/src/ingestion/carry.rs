//! What a source remembers, carried over when another version of its connector takes it up.
//!
//! The memory of the first page is that of the version before as the connector carries it over, and becomes the record with that page:
//! a run that ends before has changed nothing.

use std::collections::BTreeMap;

use tributary_core::{
    contract::{Failure, Fault},
    run::Run,
};
use tributary_sandbox::Connector;

/// What the connector of a run makes of the memory that another version left: writes for the first page. When it makes nothing of it, it
/// remembers nothing, and as nothing of the version before is in its ledger either, the run reads everything.
pub(super) async fn over(
    connector: &dyn Connector,
    run: &Run,
    from_version: &str,
    state: BTreeMap<String, String>,
) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let why = match connector.upgrade_state(from_version, state.clone()).await {
        Ok(Some(upgraded)) => return Ok(difference(&state, upgraded)),
        // Such as all sandboxes being in use: its memory is worth another try.
        Err(failure) if failure.fault == Fault::Transient => return Err(failure),
        Ok(None) => "it does not go on from there".to_owned(),
        Err(failure) => failure.message,
    };
    let (version, run) = (&run.connector.version, run.id);
    tracing::warn!(%run, from_version, version, why, "what the source remembers was not carried over to another version of its connector: the run reads everything");
    Ok(difference(&state, BTreeMap::new()))
}

/// What to write so that one becomes the other.
fn difference(before: &BTreeMap<String, String>, after: BTreeMap<String, String>) -> BTreeMap<String, Option<String>> {
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), None));
    let mut writes: BTreeMap<_, _> = gone.collect();
    let changed = after.into_iter().filter(|(key, value)| before.get(key) != Some(value));
    writes.extend(changed.map(|(key, value)| (key, Some(value))));
    writes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let map = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let before = map(&[("mark", "1"), ("same", "s"), ("other", "o")]);
        let writes = difference(&before, map(&[("mark2", "1"), ("same", "s"), ("other", "p")]));
        let expected = [("mark", None), ("mark2", Some("1")), ("other", Some("p"))];
        let expected = expected.map(|(key, value): (&str, Option<&str>)| (key.to_owned(), value.map(str::to_owned)));
        assert_eq!(writes, BTreeMap::from(expected));
    }
}
