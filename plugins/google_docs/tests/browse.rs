//! What an admin may choose for folders, files and shared drives.

mod support;

use serde_json::json;
use support::World;
use tributary_fakes::google::{DOCUMENT, DRIVE_READONLY};
use tributary_plugin_google_docs::GoogleDocs;
use tributary_plugin_sdk::{Browse, Choice, Choices, Failure, Fault, browse};

impl World {
    fn look(&self, pointer: &str, at: Option<&str>, after: Option<&str>) -> Result<Choices, Failure> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let request = Browse { pointer: pointer.to_owned(), at: own(at), after: own(after) };
        browse::<GoogleDocs>(&self.host, &self.config.to_string(), &request)
    }
}

/// Title, and the value as it stands in the configuration.
fn told(choices: &Choices) -> Vec<(&str, Option<&str>)> {
    choices.items.iter().map(|item| (item.title.as_str(), item.value.as_deref())).collect()
}

fn titled<'a>(choices: &'a Choices, title: &str) -> &'a Choice {
    choices.items.iter().find(|item| item.title == title).expect("it is offered")
}

#[test]
fn folders_are_found_from_what_is_shared_down() {
    let world = World::new().configured("folders", json!([]));
    let start = world.look("/folders/0", None, None).expect("a start");
    assert_eq!(told(&start), [("Shared with me", None), ("My Drive", None), ("Shared drives", None)]);
    assert_eq!(world.spent().0, 0, "nothing is asked for that");
    let shared = world.look("/folders/0", titled(&start, "Shared with me").opens.as_deref(), None).expect("folders");
    assert_eq!(told(&shared), [("Handbook", Some("\"handbook\""))]);
    let below = world.look("/folders/0", shared.items[0].opens.as_deref(), None).expect("folders");
    assert_eq!(told(&below), [("Teams", Some("\"teams\""))], "files are no folders");
    let mine = world.look("/folders/0", titled(&start, "My Drive").opens.as_deref(), None).expect("folders");
    assert_eq!(told(&mine), []);
}

#[test]
fn files_are_offered_when_they_can_be_read_and_folders_lead_to_them() {
    let world = World::new();
    let found = world.look("/files/0", Some("folder/handbook"), None).expect("files");
    let told = told(&found);
    assert!(told.contains(&("Welcome", Some("\"welcome\""))) && told.contains(&("guide.pdf", Some("\"guide\""))));
    assert!(told.contains(&("Teams", None)), "{told:?}");
    assert!(!told.iter().any(|(title, _)| ["logo.png", "Survey"].contains(title)), "{told:?}");
}

#[test]
fn shared_drives_are_offered_as_a_whole_and_folders_within_them() {
    let world = World::new();
    for number in 0..150 {
        world.google.add_drive(&format!("0A{number:03}"), &format!("Drive {number}"));
    }
    world.google.add_folder("plans", "Plans", "0A007");
    world.google.add("plan", "Plan", DOCUMENT, Some("plans"), "The plan.");
    let first = world.look("/shared_drives/0", None, None).expect("drives");
    let second = world.look("/shared_drives/0", None, first.next.as_deref()).expect("drives");
    assert_eq!((first.items.len(), second.items.len(), second.next), (100, 50, None));
    assert_eq!(titled(&first, "Drive 7").value.as_deref(), Some("\"0A007\""));
    let drives = world.look("/folders/0", Some("drives"), None).expect("drives");
    let within = world.look("/folders/0", titled(&drives, "Drive 7").opens.as_deref(), None).expect("folders");
    assert_eq!(told(&within), [("Plans", Some("\"plans\""))]);
    let files = world.look("/files/0", within.items[0].opens.as_deref(), None).expect("files");
    assert_eq!(told(&files), [("Plan", Some("\"plan\""))]);
}

#[test]
fn what_keeps_it_from_looking_is_said_where_it_can_be_mended() {
    let world = World::new();
    assert_eq!(world.look("/include/0", None, None).unwrap_err().fault, Fault::Unsupported);
    for place in ["folder/x' or '1", "elsewhere", "folder/", "drive/a/b/c"] {
        assert_eq!(world.look("/folders/0", Some(place), None).unwrap_err().code, "place_unknown", "{place}");
    }
    assert_eq!(world.spent().0, 0, "Google never hears of that");
    world.google.take_scope(DRIVE_READONLY);
    let failure = world.look("/folders/0", Some("shared"), None).unwrap_err();
    assert!(failure.message.contains(DRIVE_READONLY), "{}", failure.message);
    let nobody = World { config: json!({}), ..World::new() };
    let failure = nobody.look("/folders/0", None, None).unwrap_err();
    assert_eq!(failure.config_pointer.as_deref(), Some("/credential"));
}
