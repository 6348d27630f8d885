//! Ways out of a root: `..`, links, names that lie, files that are none.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use serde_json::json;
use tributary_core::contract::{Failure, Fault};
use tributary_sandbox::FileKind;

use crate::support::{files, misbehaving, options, request, services_over};

fn tree() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn codes(failure: Failure) -> (Fault, String) {
    (failure.fault, failure.code)
}

#[tokio::test]
async fn a_guest_leaves_its_root_by_no_path() {
    let root = tempfile::tempdir().unwrap();
    let connector = misbehaving(options()).await;
    let services = services_over(files(root.path()));
    for path in ["../secret", "/etc/passwd", "a/../../b", "./a", "a//b", "a\0b"] {
        let failure =
            connector.pull(&request(json!({"do": "read", "root": "docs", "path": path})), &services).await.unwrap_err();
        assert_eq!((failure.fault, failure.code.as_str()), (Fault::Permission, "path_not_allowed"), "{path}");
    }
    let failure =
        connector.pull(&request(json!({"do": "list", "root": "other", "path": ""})), &services).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Permission, "root_not_configured"));
}

#[test]
fn links_are_shown_and_never_followed() {
    let outside = tree();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let root = tree();
    fs::create_dir(root.path().join("dir")).unwrap();
    fs::write(root.path().join("dir/inside"), "i").unwrap();
    symlink(outside.path(), root.path().join("out")).unwrap();
    symlink(outside.path().join("secret"), root.path().join("out.txt")).unwrap();
    symlink("dir", root.path().join("in")).unwrap();
    symlink("in.txt", root.path().join("in.txt")).unwrap();
    let files = files(root.path());
    let kinds: BTreeMap<_, _> =
        files.list("docs", "", None, 100).unwrap().entries.into_iter().map(|entry| (entry.name, entry.kind)).collect();
    for link in ["out", "out.txt", "in", "in.txt"] {
        assert_eq!(kinds[link], FileKind::Symlink);
        assert_eq!(codes(files.open("docs", link, 10).unwrap_err()), (Fault::Unsupported, "symlink".into()));
    }
    for path in ["out/secret", "in/inside"] {
        assert_eq!(codes(files.open("docs", path, 10).unwrap_err()), (Fault::Unsupported, "symlink".into()));
    }
    for dir in ["out", "in"] {
        assert_eq!(codes(files.list("docs", dir, None, 10).unwrap_err()), (Fault::Unsupported, "symlink".into()));
    }
    assert_eq!(files.open("docs", "dir/inside", 10).unwrap().read_all().unwrap(), "i");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// The outer directory holds a file of the same name as the inner one; whatever a path says, only the inner one is ever read.
    #[test]
    fn no_path_reaches_outside(parts in prop::collection::vec(
        prop_oneof![Just(".."), Just("."), Just(""), Just("f"), Just("dir"), Just("up"), Just("self"), Just("\0"), Just("~"), Just("\\..")], 0..7,
    ), absolute: bool) {
        let outer = tree();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("dir")).unwrap();
        for (path, text) in [(outer.path().join("f"), "outside"), (root.join("f"), "inside"), (root.join("dir/f"), "inside")] {
            fs::write(path, text).unwrap();
        }
        symlink("..", root.join("up")).unwrap();
        symlink(".", root.join("self")).unwrap();
        let mut path = parts.join("/");
        if absolute {
            path.insert_str(0, outer.path().to_str().unwrap());
        }
        let files = files(&root);
        if let Ok(blob) = files.open("docs", &path, 100) {
            prop_assert_eq!(blob.read_all().unwrap(), "inside");
        }
        if let Ok(listing) = files.list("docs", &path, None, 100) {
            prop_assert!(listing.entries.iter().all(|entry| entry.name != "root"));
        }
    }
}

#[test]
fn pipes_sockets_and_devices_are_never_opened() {
    let root = tree();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
    let start = Instant::now();
    let inside = files(root.path());
    for name in ["pipe", "socket"] {
        assert_eq!(codes(inside.open("docs", name, 10).unwrap_err()), (Fault::Unsupported, "not_a_file".into()));
    }
    assert_eq!(
        codes(files(Path::new("/dev")).open("docs", "zero", 10).unwrap_err()),
        (Fault::Unsupported, "not_a_file".into())
    );
    assert!(start.elapsed() < Duration::from_secs(1), "nothing waited for the other end of a pipe");
    assert_eq!(inside.list("docs", "", None, 10).unwrap().entries[0].kind, FileKind::Other);
}

#[test]
fn a_two_gigabyte_file_is_refused_without_being_read() {
    let root = tree();
    fs::File::create(root.path().join("sparse")).unwrap().set_len(2 << 30).unwrap();
    let start = Instant::now();
    let failure = files(root.path()).open("docs", "sparse", 64 << 20).unwrap_err();
    assert_eq!(codes(failure), (Fault::TooLarge, "file_too_large".into()));
    assert!(start.elapsed() < Duration::from_millis(500));
}

#[test]
fn a_file_whose_length_lies_is_still_capped() {
    // Everything under /proc says it is empty and is not.
    let files = files(Path::new("/proc/self"));
    assert!(files.open("docs", "status", 1 << 20).unwrap().size_bytes() > 100);
    assert_eq!(files.open("docs", "status", 100).unwrap_err().code, "file_too_large");
}
