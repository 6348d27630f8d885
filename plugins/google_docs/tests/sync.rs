//! What a source over Google Drive holds, run after run.

mod support;

use serde_json::json;
use support::World;
use tributary_fakes::google::{DOCUMENT, Google, SPREADSHEET};
use tributary_plugin_sdk::{Fault, Gone, Value};

const ALL: [&str; 6] = ["guide", "notes", "pitch", "prices", "sales", "welcome"];

#[test]
fn a_first_run_reads_everything_that_can_be_read_and_says_where_it_is_from() {
    let mut world = World::new();
    world.sync().unwrap();
    assert_eq!(world.ids(), ALL);
    assert!(world.synced.exhaustive && world.synced.failed.is_empty());
    let welcome = &world.synced.documents["welcome"];
    assert_eq!((welcome.title.as_str(), welcome.kind.as_str()), ("Welcome", "document"));
    assert_eq!(world.text("welcome"), "text/markdown\n# Welcome\nWe are glad.");
    assert!(world.text("prices").starts_with("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet\n"));
    assert_eq!(world.text("pitch"), "text/plain\nFirst slide");
    assert_eq!(world.text("guide"), "application/pdf\n%PDF-1.7 guide");
    let from = &welcome.provenance;
    assert_eq!(from.url.as_deref(), Some("https://docs.google.com/document/d/welcome/edit?usp=drivesdk"));
    assert_eq!(from.authors, ["Ada Lovelace <ada@example.com>"]);
    assert!(
        from.revision.is_some() && from.modified_at > Some(1_767_225_600_000) && from.created_at == from.modified_at
    );
    assert_eq!(world.path("notes"), "Handbook/Teams/Deep/notes.md");
    assert!(welcome.fields.contains(&("owner".into(), Value::Text("Ada Lovelace <ada@example.com>".into()))));
    assert!(welcome.fields.contains(&("mime_type".into(), Value::Text(DOCUMENT.into()))));
}

#[test]
fn a_run_without_changes_is_one_request_and_no_download() {
    let mut world = World::new();
    world.sync().unwrap();
    world.spent();
    world.sync().unwrap();
    assert_eq!(world.spent(), (1, 0));
    assert_eq!((world.synced.written, world.synced.pages, world.ids().len()), (0, 1, ALL.len()));
}

#[test]
fn a_full_run_over_known_files_lists_and_downloads_nothing_that_did_not_change() {
    let mut world = World::new();
    world.sync().unwrap();
    world.spent();
    world.limits.full = true;
    world.sync().unwrap();
    assert_eq!(world.spent().1, 0);
    assert_eq!((world.synced.written, world.synced.unchanged), (0, ALL.len() as u64));
}

#[test]
fn what_people_do_to_files_arrives_with_the_next_run() {
    let mut world = World::new();
    world.sync().unwrap();
    world.spent();
    let google = world.google.clone();
    google.edit("welcome", "# Welcome\nWe are very glad.");
    google.rename("guide", "manual.pdf");
    google.trash("pitch");
    google.delete("prices");
    google.add("new", "New", DOCUMENT, Some("deep"), "Fresh.");
    google.add("elsewhere", "Elsewhere", DOCUMENT, None, "Not ours.");
    google.share("elsewhere");
    world.sync().unwrap();
    assert_eq!(world.ids(), ["guide", "new", "notes", "sales", "welcome"]);
    assert_eq!(world.text("welcome"), "text/markdown\n# Welcome\nWe are very glad.");
    assert_eq!(
        (world.synced.documents["guide"].title.as_str(), world.path("new").as_str()),
        ("manual.pdf", "Handbook/Teams/Deep/New")
    );
    assert_eq!(world.synced.gone["pitch"], Gone::Trashed);
    assert_eq!(world.synced.gone["prices"], Gone::AccessLost);
    assert_eq!(world.spent().1, 3, "only what changed is downloaded");
    google.restore("pitch");
    world.sync().unwrap();
    assert!(world.ids().contains(&"pitch"));
}

#[test]
fn a_file_that_moves_out_goes_and_one_that_moves_in_comes() {
    let mut world = World::new();
    world.google.add_shared_folder("private", "Private");
    world.google.add("secret", "Secret", DOCUMENT, Some("private"), "Not ours.");
    world.sync().unwrap();
    world.google.move_to("welcome", Some("private"));
    world.google.move_to("secret", Some("teams"));
    world.sync().unwrap();
    assert_eq!(world.ids(), ["guide", "notes", "pitch", "prices", "sales", "secret"]);
    assert_eq!(world.synced.gone["welcome"], Gone::OutOfScope);
    world.google.move_to("sales", Some("handbook"));
    world.sync().unwrap();
    assert_eq!(world.path("sales"), "Handbook/Sales");
}

#[test]
fn a_folder_takes_everything_in_it_along() {
    let mut world = World::new();
    world.google.add_shared_folder("private", "Private");
    world.sync().unwrap();
    world.google.move_to("teams", Some("private"));
    world.spent();
    world.sync().unwrap();
    assert_eq!(world.ids(), ["guide", "pitch", "prices", "welcome"]);
    assert_eq!(world.spent().1, 0, "what stays is not downloaded again");
    assert!(world.synced.exhaustive, "what is not named any more goes under the host's guard");
    world.google.move_to("teams", Some("handbook"));
    world.sync().unwrap();
    assert_eq!(world.ids(), ALL);
    assert_eq!(world.path("notes"), "Handbook/Teams/Deep/notes.md");
    world.google.rename("teams", "People");
    world.sync().unwrap();
    assert_eq!(world.path("notes"), "Handbook/People/Deep/notes.md");
    assert_eq!(world.ids(), ALL);
    world.google.trash("teams");
    world.sync().unwrap();
    assert_eq!(world.ids(), ["guide", "pitch", "prices", "welcome"]);
    world.google.restore("teams");
    world.sync().unwrap();
    assert_eq!(world.ids(), ALL);
    world.google.delete("deep");
    world.sync().unwrap();
    assert_eq!(world.ids(), ["guide", "pitch", "prices", "sales", "welcome"]);
    world.spent();
    world.sync().unwrap();
    assert_eq!(world.spent(), (1, 0), "and then there is rest");
}

#[test]
fn a_selected_folder_that_is_gone_fails_the_run_and_deletes_nothing() {
    for take_away in [
        (|google: &Google| google.unshare("handbook")) as fn(&Google),
        |google| google.trash("handbook"),
        |google| google.delete("handbook"),
        |google| {
            google.unshare("handbook");
            google.note_below("handbook");
        },
    ] {
        let mut world = World::new();
        world.sync().unwrap();
        take_away(&world.google);
        let failure = world.sync().unwrap_err();
        assert_eq!(
            (failure.fault, failure.config_pointer.as_deref()),
            (Fault::NotFound, Some("/folders/0")),
            "{failure:?}"
        );
        let told = failure.message.contains(world.google.service_account()) || failure.message.contains("in the trash");
        assert!(told, "{}", failure.message);
        assert_eq!(world.ids(), ALL);
    }
}

#[test]
fn a_file_that_is_not_shared_any_more_goes() {
    let mut world = World::empty();
    world.google.add("single", "Single", DOCUMENT, None, "By itself.");
    world.google.share("single");
    world.google.add("kept", "Kept", DOCUMENT, Some("handbook"), "Kept.");
    world.config["files"] = json!(["https://docs.google.com/document/d/single/edit"]);
    world.sync().unwrap();
    assert_eq!(world.ids(), ["kept", "single"]);
    assert_eq!(world.path("single"), "Single");
    world.google.edit("single", "Still by itself.");
    world.sync().unwrap();
    assert_eq!(world.text("single"), "text/markdown\nStill by itself.");
    world.google.unshare("single");
    world.sync().unwrap();
    assert_eq!((world.ids(), world.synced.gone["single"]), (vec!["kept"], Gone::AccessLost));
}

#[test]
fn shared_drives_are_read_and_followed_by_their_own_feed() {
    let mut world = World::new().configured("folders", json!([])).configured("shared_drives", json!(["0Adrive"]));
    let google = world.google.clone();
    google.add_drive("0Adrive", "Company");
    google.add("plan", "Plan", DOCUMENT, Some("0Adrive"), "The plan.");
    google.add_folder("hr", "HR", "0Adrive");
    google.add("leave", "Leave", DOCUMENT, Some("hr"), "Thirty days.");
    world.sync().unwrap();
    assert_eq!(world.ids(), ["leave", "plan"]);
    assert_eq!(world.path("leave"), "Company/HR/Leave");
    assert!(world.synced.documents["plan"].fields.contains(&("drive".into(), Value::Text("0Adrive".into()))));
    world.spent();
    world.sync().unwrap();
    assert_eq!(world.spent(), (2, 0), "the account's feed and the drive's");
    google.edit("plan", "Another plan.");
    google.trash("leave");
    world.sync().unwrap();
    assert_eq!((world.ids(), world.text("plan").as_str()), (vec!["plan"], "text/markdown\nAnother plan."));
    google.set_member("0Adrive", false);
    let failure = world.sync().unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.config_pointer.as_deref()),
        ("shared_drive_not_shared", Some("/shared_drives/0"))
    );
    assert!(failure.message.contains("add it as a member"), "{}", failure.message);
    assert_eq!(world.ids(), ["plan"]);
}

#[test]
fn a_folder_of_a_shared_drive_is_followed_by_the_drives_feed() {
    let mut world = World::empty().configured("folders", json!(["hr"]));
    let google = world.google.clone();
    google.add_drive("0Adrive", "Company");
    google.add_folder("hr", "HR", "0Adrive");
    google.add("plan", "Plan", DOCUMENT, Some("0Adrive"), "The plan.");
    google.add("leave", "Leave", DOCUMENT, Some("hr"), "Thirty days.");
    world.sync().unwrap();
    assert_eq!(world.ids(), ["leave"]);
    google.move_to("plan", Some("hr"));
    google.edit("leave", "Forty days.");
    world.sync().unwrap();
    assert_eq!((world.ids(), world.text("leave").as_str()), (vec!["leave", "plan"], "text/markdown\nForty days."));
}

#[test]
fn shortcuts_are_followed_once_and_never_in_circles() {
    let mut world = World::new();
    let google = world.google.clone();
    google.add_shared_folder("library", "Library");
    google.add("book", "Book", DOCUMENT, Some("library"), "A book.");
    google.add_shared_folder("other", "Other");
    google.add("far", "Far", DOCUMENT, Some("other"), "Far away.");
    google.add_shortcut("to-far", "Far", "handbook", "far");
    google.add_shortcut("to-library", "Books", "teams", "library");
    google.add_shortcut("to-sales", "Sales again", "handbook", "sales");
    google.add_shortcut("to-top", "Top", "deep", "handbook");
    google.add_shortcut("back", "Back", "library", "handbook");
    google.add_shortcut("round", "Round", "library", "library");
    google.add_shortcut("on", "On", "library", "other");
    google.add_shortcut("to-nothing", "Nothing", "handbook", "nothing");
    google.add_shortcut("to-shortcut", "Shortcut", "handbook", "to-far");
    world.sync().unwrap();
    assert_eq!(world.ids(), ["book", "far", "guide", "notes", "pitch", "prices", "sales", "welcome"]);
    assert_eq!(world.path("sales"), "Handbook/Teams/Sales");
    world.spent();
    world.sync().unwrap();
    assert_eq!(world.spent(), (1, 0));
    google.edit("far", "Further away.");
    google.edit("book", "Another book.");
    google.add("leaflet", "Leaflet", DOCUMENT, Some("library"), "Short.");
    world.sync().unwrap();
    assert_eq!(world.text("far"), "text/markdown\nFurther away.");
    assert_eq!(world.text("book"), "text/markdown\nAnother book.");
    assert!(world.ids().contains(&"leaflet"));
    google.trash("to-far");
    google.delete("to-library");
    world.sync().unwrap();
    assert_eq!(world.ids(), ALL);
    google.add_shortcut("again", "Far", "deep", "far");
    world.sync().unwrap();
    assert!(world.ids().contains(&"far"));
}

#[test]
fn names_that_occur_twice_are_two_documents() {
    let mut world = World::empty();
    world.google.add("one", "Same", DOCUMENT, Some("handbook"), "1");
    world.google.add("two", "Same", DOCUMENT, Some("handbook"), "2");
    world.sync().unwrap();
    assert_eq!(world.ids(), ["one", "two"]);
}

#[test]
fn empty_pages_before_the_end_end_nothing() {
    let mut world = World::new().items_per_page(3);
    world.google.set_empty_pages(2);
    world.sync().unwrap();
    assert_eq!(world.ids(), ALL);
}

#[test]
fn what_changes_while_the_folders_are_listed_is_not_missed() {
    // While the second answer of the listing is on its way, a file is added to a folder that was listed and another one edited.
    let mut world = World::new().items_per_page(3);
    let google = std::sync::Arc::downgrade(&world.google);
    let lists = std::sync::atomic::AtomicU32::new(0);
    let (send, receive) = std::sync::mpsc::channel();
    world.google.intercept(move |request| {
        let at = lists.load(std::sync::atomic::Ordering::Relaxed);
        if request.path == "/drive/v3/files" {
            lists.store(at + 1, std::sync::atomic::Ordering::Relaxed);
            if at == 2 {
                send.send(()).unwrap();
            }
        }
        None
    });
    let meddler = std::thread::spawn(move || {
        receive.recv().unwrap();
        let google = google.upgrade().unwrap();
        google.add("late", "Late", DOCUMENT, Some("handbook"), "Late.");
        google.edit("guide", "%PDF-1.7 late");
        google.add_folder("aaa", "Aaa", "handbook");
        google.add("inner", "Inner", DOCUMENT, Some("aaa"), "Inner.");
    });
    world.sync().unwrap();
    meddler.join().unwrap();
    world.google.let_go();
    world.sync().unwrap();
    assert_eq!(world.text("guide"), "application/pdf\n%PDF-1.7 late");
    assert!(["late", "inner"].iter().all(|id| world.ids().contains(id)), "{:?}", world.ids());
}

#[test]
fn a_rejected_token_starts_a_full_run() {
    for status in [400, 410] {
        let mut world = World::new();
        world.sync().unwrap();
        world.google.add("later", "Later", DOCUMENT, Some("deep"), "Later.");
        world.google.trash("guide");
        world.google.expire_change_tokens(status);
        assert_eq!(world.sync().unwrap_err().fault, Fault::CursorExpired);
        world.limits.full = true;
        world.sync().unwrap();
        assert_eq!(world.ids(), ["later", "notes", "pitch", "prices", "sales", "welcome"]);
        world.limits.full = false;
        world.spent();
        world.sync().unwrap();
        assert_eq!(world.spent(), (1, 0));
    }
}

#[test]
fn a_listing_whose_token_is_refused_begins_again() {
    let mut world = World::new().items_per_page(3);
    let refused = std::sync::atomic::AtomicBool::new(false);
    world.google.intercept(move |request| {
        let list = request.path == "/drive/v3/files" && request.param("pageToken").is_some();
        (list && !refused.swap(true, std::sync::atomic::Ordering::Relaxed)).then(|| Google::error("invalid"))
    });
    world.sync().unwrap();
    assert_eq!(world.ids(), ALL);
    world.google.let_go();
    world.google.expire_list_tokens(true);
    world.limits.full = true;
    let failure = world.sync().unwrap_err();
    assert_eq!((failure.fault, world.ids().len()), (Fault::SourceContract, ALL.len()), "{failure:?}");
}

#[test]
fn another_configuration_is_another_listing() {
    let mut world = World::new();
    world.sync().unwrap();
    world.config["exclude"] = json!(["Teams", "application/pdf"]);
    world.sync().unwrap();
    assert_eq!(world.ids(), ["pitch", "prices", "welcome"]);
    world.config["recursive"] = json!(false);
    world.config["exclude"] = json!([SPREADSHEET]);
    world.sync().unwrap();
    assert_eq!(world.ids(), ["guide", "pitch", "welcome"]);
    world.google.add("deeper", "Deeper", DOCUMENT, Some("teams"), "Not read.");
    world.sync().unwrap();
    assert_eq!(world.ids(), ["guide", "pitch", "welcome"]);
}

#[test]
fn a_folder_selected_within_a_selected_folder_is_read_once_and_has_one_path() {
    let mut world =
        World::new().configured("folders", json!(["handbook", "https://drive.google.com/drive/folders/teams"]));
    world.sync().unwrap();
    assert_eq!((world.ids(), world.path("sales").as_str()), (ALL.to_vec(), "Teams/Sales"));
    world.google.edit("sales", "We sell more.");
    world.sync().unwrap();
    assert_eq!(world.path("sales"), "Teams/Sales");
    world.limits.full = true;
    world.spent();
    world.sync().unwrap();
    assert_eq!(world.spent().1, 0);
}

#[test]
fn many_folders_are_read_with_a_small_cursor() {
    let mut world = World::empty();
    for outer in 0..40 {
        let folder = format!("outer{outer:03}");
        world.google.add_folder(&folder, &"A folder with a name that is not short at all ".repeat(2), "handbook");
        for inner in 0..12 {
            let inner = format!("{folder}inner{inner:03}");
            world.google.add_folder(&inner, &"Another one with a long name ".repeat(3), &folder);
            world.google.add(&format!("{inner}doc"), "Doc", "text/plain", Some(&inner), "x");
        }
    }
    let mut parent = "handbook".to_owned();
    for depth in 0..90 {
        let folder = format!("deep{depth:03}");
        world.google.add_folder(&folder, "Deeper and deeper", &parent);
        parent = folder;
    }
    world.google.add("bottom", "Bottom", "text/plain", Some(&parent), "x");
    world.sync_as::<SmallCursor>().unwrap();
    assert_eq!(world.ids().len(), 40 * 12 + 1);
    assert!(world.synced.exhaustive && world.synced.failed.is_empty());
}

/// The connector, whose cursors must be such as the host takes.
struct SmallCursor;

impl tributary_plugin_sdk::Connector for SmallCursor {
    type Config = tributary_plugin_google_docs::Config;
    fn describe() -> tributary_plugin_sdk::Descriptor {
        tributary_plugin_google_docs::GoogleDocs::describe()
    }
    fn check(
        host: &dyn tributary_plugin_sdk::Host,
        config: Self::Config,
    ) -> Result<Vec<tributary_plugin_sdk::CheckItem>, tributary_plugin_sdk::Failure> {
        tributary_plugin_google_docs::GoogleDocs::check(host, config)
    }
    fn pull(
        host: &dyn tributary_plugin_sdk::Host,
        config: Self::Config,
        request: &tributary_plugin_sdk::PullRequest,
    ) -> Result<tributary_plugin_sdk::Page, tributary_plugin_sdk::Failure> {
        let page = tributary_plugin_google_docs::GoogleDocs::pull(host, config, request)?;
        assert!(page.cursor.as_ref().is_none_or(|cursor| cursor.len() < 64 << 10));
        Ok(page)
    }
}
