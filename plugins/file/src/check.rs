//! Whether a configuration will work, by a bounded look.

use tributary_plugin_sdk::{CheckItem, Failure, Fault, Host};

use crate::{
    config::Config,
    scope::Scope,
    walk::{Step, Walk},
};

/// Names looked at in search of a file that matches.
const LOOK: u64 = 5_000;

pub(crate) fn check(host: &dyn Host, config: &Config) -> Result<Vec<CheckItem>, Failure> {
    let mut items = Vec::new();
    let settings = config.validate().and_then(|()| Scope::new(config));
    let root = format!("root \"{}\" can be read", config.root);
    let root_is_empty = match host.list(&config.root, "", None, 1) {
        Ok(listing) => {
            items.push(CheckItem::ok(root));
            listing.entries.is_empty() && listing.last
        }
        Err(failure) if failure.fault == Fault::Cancelled => return Err(failure),
        Err(failure) => {
            items.push(CheckItem::failed(root, failure.message).at("/root"));
            return Ok(items);
        }
    };
    let scope = match settings {
        Ok(scope) => scope,
        Err(failure) => {
            let item = CheckItem::failed("settings are valid", failure.message);
            items.push(item.at(failure.config_pointer.unwrap_or_default()));
            return Ok(items);
        }
    };
    items.push(CheckItem::ok("settings are valid"));
    let name = "at least one file matches";
    let mut walk = Walk::new(host, &config.root, &scope, None);
    let found = loop {
        match walk.next(LOOK)? {
            Some(Step::File { .. }) => break true,
            Some(Step::Unreadable { .. }) => {}
            Some(Step::Unlistable { path, failure }) => {
                items.push(CheckItem::warning(format!("folder \"{path}\" can be listed"), failure.message));
            }
            None => break false,
        }
    };
    items.push(if found {
        CheckItem::ok(name)
    } else if root_is_empty {
        CheckItem::warning(name, "The folder is empty; check that the right folder is mounted.").at("/root")
    } else if walk.is_at_end() {
        CheckItem::warning(name, "No file matches; check `include` and `exclude`.").at("/include")
    } else {
        CheckItem::warning(name, format!("None of the first {LOOK} names matches; check `include` and `exclude`."))
            .at("/include")
    });
    Ok(items)
}
