//! What `source check` tells an admin.

mod support;

use serde_json::json;
use support::World;
use tributary_fakes::{
    Secret,
    google::{DOCUMENT, DRIVE_METADATA, DRIVE_READONLY},
    script,
};
use tributary_plugin_sdk::{CheckStatus, testing::TestHost};

#[test]
fn a_check_says_as_whom_and_what_can_be_read() {
    let world = World::new().configured("files", json!(["guide"])).configured("shared_drives", json!(["0Adrive"]));
    world.google.add_drive("0Adrive", "Company");
    world.google.add("plan", "Plan", DOCUMENT, Some("0Adrive"), "The plan.");
    let items = world.check();
    assert!(items.iter().all(|item| item.status == CheckStatus::Ok), "{items:?}");
    let told: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    let account = "reader@tributary-test.iam.gserviceaccount.com";
    assert_eq!(
        told,
        [
            "settings are valid",
            &format!("signed in as {account}"),
            "folder \"Handbook\" can be listed",
            "shared drive \"Company\" can be listed",
            "file \"guide.pdf\"",
            "content can be read (\"guide.pdf\")",
        ]
    );
}

/// Name, message and place of the first item that is not ok.
fn wrong(world: &World) -> (String, String, String) {
    let item = world.check().into_iter().find(|item| item.status != CheckStatus::Ok).expect("something is wrong");
    (item.name, item.message.unwrap_or_default(), item.config_pointer.unwrap_or_default())
}

#[test]
fn a_check_names_the_share_that_is_missing_and_the_account_to_share_with() {
    let world = World::new().configured("folders", json!(["handbook", "private"]));
    world.google.add("private", "Private", "application/vnd.google-apps.folder", None, "");
    let (name, message, pointer) = wrong(&world);
    assert_eq!((name.as_str(), pointer.as_str()), ("folder private", "/folders/1"));
    assert!(
        message.contains("share it with that account (Viewer)") && message.contains(world.google.service_account())
    );
    assert!(wrong(&World::empty()).1.contains("It is empty"));
}

#[test]
fn a_check_names_the_scope_that_is_missing() {
    // Names may be read, contents may not.
    let world = World::new();
    let token = world.google.token(&[DRIVE_METADATA]);
    let host = TestHost::new().with_http(script(world.google.clone(), &[("google", Secret::Token(token))]));
    let (name, message, pointer) = wrong(&World { host, ..world });
    assert!(name.starts_with("content can be read"), "{name}");
    assert!(message.contains(DRIVE_READONLY) && pointer == "/credential", "{message} {pointer}");
    // Neither.
    let world = World::new();
    world.google.take_scope(DRIVE_READONLY);
    let (name, message, _) = wrong(&world);
    assert!(name == "signed in" && message.contains(DRIVE_READONLY), "{name} {message}");
}

#[test]
fn a_check_points_at_what_is_wrong_in_the_configuration() {
    let world = World::new();
    world.google.revoke();
    assert_eq!(wrong(&world).2, "/credential");
    assert_eq!(wrong(&World::new().configured("folders", json!(["my folder"]))).2, "/folders/0");
    assert_eq!(wrong(&World::new().configured("credential", json!("another"))).2, "/credential");
    assert!(wrong(&World::new().configured("folders", json!(["guide"]))).1.contains("put it under `files`"));
}
