//! Killed anywhere, a source ends where an uninterrupted one does.

mod support;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use support::{World, contents};
use tributary_fakes::google::{DOCUMENT, Google};
use tributary_plugin_google_docs::{Config, GoogleDocs};
use tributary_plugin_sdk::{CheckItem, Connector, Descriptor, Failure, Host, Page, PullRequest};

/// Every page is made twice and the first is lost, as when the server dies before it commits.
struct EveryPageTwice;

impl Connector for EveryPageTwice {
    type Config = Config;
    fn describe() -> Descriptor {
        GoogleDocs::describe()
    }
    fn check(host: &dyn Host, config: Config) -> Result<Vec<CheckItem>, Failure> {
        GoogleDocs::check(host, config)
    }
    fn pull(host: &dyn Host, config: Config, request: &PullRequest) -> Result<Page, Failure> {
        // What a page remembers is committed with it, or not at all.
        let mut before = Vec::new();
        for key in ["sync", "roots", "listing"] {
            before.push((key, host.state(key)?));
        }
        GoogleDocs::pull(host, config.clone(), request)?;
        for (key, value) in before {
            host.set_state(key, value.as_deref())?;
        }
        GoogleDocs::pull(host, config, request)
    }
}

/// What happens before the first run, the second and the third.
const DAYS: [fn(&Google); 3] = [|_| {}, busy_day, evening];

fn busy_day(google: &Google) {
    google.edit("welcome", "Changed.");
    google.trash("guide");
    google.rename("teams", "People");
    google.add_folder("fresh", "Fresh", "teams");
    google.add("first", "First", DOCUMENT, Some("fresh"), "1");
    google.add("second", "Second", DOCUMENT, Some("fresh"), "2");
    google.move_to("prices", Some("fresh"));
    google.add_shortcut("again", "Again", "fresh", "welcome");
}

/// A folder leaves.
fn evening(google: &Google) {
    google.move_to("deep", None);
    google.edit("first", "One.");
}

#[test]
fn a_page_that_is_lost_is_made_again() {
    for max_items in [1, 2, 3, 256] {
        let mut whole = World::new().items_per_page(max_items);
        let mut killed = World::new().items_per_page(max_items);
        for day in DAYS {
            day(&whole.google);
            day(&killed.google);
            whole.sync().unwrap();
            killed.sync_as::<EveryPageTwice>().unwrap();
            assert_eq!(contents(&whole.synced), contents(&killed.synced), "{max_items} items per page");
        }
        assert_eq!(whole.path("first"), "Handbook/People/Fresh/First", "a new folder in a renamed one");
        assert_eq!(whole.ids(), ["first", "pitch", "prices", "sales", "second", "welcome"]);
    }
}

#[test]
fn a_run_that_dies_at_any_request_is_made_good_by_the_next() {
    let mut whole = World::new().items_per_page(2);
    let expected = DAYS.map(|day| {
        day(&whole.google);
        whole.sync().unwrap();
        contents(&whole.synced)
    });
    for (dies_in, expected) in expected.iter().enumerate() {
        let mut dies_at = 0;
        loop {
            let mut world = World::new().items_per_page(2);
            let mut died = false;
            for (run, day) in DAYS.into_iter().enumerate().take(dies_in + 1) {
                day(&world.google);
                if run == dies_in {
                    let asked = AtomicU32::new(0);
                    world.google.intercept(move |_| {
                        (asked.fetch_add(1, Relaxed) == dies_at).then(|| Google::error("domainPolicy"))
                    });
                    died = world.sync().is_err();
                    world.google.let_go();
                }
                world.sync().unwrap();
            }
            assert_eq!(&contents(&world.synced), expected, "run {dies_in} died at request {dies_at}");
            if !died {
                break;
            }
            dies_at += 1;
        }
        assert!(dies_at >= 5, "{dies_at}");
    }
}
