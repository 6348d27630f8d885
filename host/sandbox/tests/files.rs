//! Files under granted roots: sorted slices, nothing outside, nothing that hangs.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use support::files;
use tributary_core::contract::{Failure, Fault};
use tributary_sandbox::{FileKind, Files};

fn tree() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn codes(failure: Failure) -> (Fault, String) {
    (failure.fault, failure.code)
}

#[test]
fn a_directory_comes_in_sorted_slices_that_join_without_gap_or_overlap() {
    let root = tree();
    let mut names: Vec<String> = (0..250).map(|n| format!("f{}", n * 7919 % 1000)).collect();
    names.extend(["Z".into(), "ä".into(), "a b".into()]);
    for name in &names {
        fs::write(root.path().join(name), name).unwrap();
    }
    names.sort();
    let files = files(root.path());
    for limit in [1, 7, 100, 1000] {
        let mut seen = Vec::new();
        loop {
            let slice = files.list("docs", "", seen.last().map(String::as_str), limit).unwrap();
            assert!(slice.entries.len() <= limit as usize);
            seen.extend(slice.entries.into_iter().map(|entry| entry.name));
            if slice.last {
                break;
            }
        }
        assert_eq!(seen, names, "slices of {limit}");
    }
    let entry = &files.list("docs", "", Some("a b"), 1).unwrap().entries[0];
    assert_eq!((entry.kind, entry.size_bytes), (FileKind::File, entry.name.len() as u64));
    assert!(entry.modified_at_ms.unwrap() > 1_600_000_000_000);
}

#[test]
fn a_listing_holds_still_for_a_run_but_tells_what_files_are_now() {
    let root = tree();
    fs::write(root.path().join("a"), "1").unwrap();
    fs::write(root.path().join("b"), "1").unwrap();
    let files = files(root.path());
    assert_eq!(files.list("docs", "", None, 1).unwrap().entries[0].name, "a");
    fs::write(root.path().join("aa"), "new").unwrap();
    fs::write(root.path().join("b"), "longer").unwrap();
    let rest = files.list("docs", "", Some("a"), 10).unwrap();
    assert_eq!(
        rest.entries.iter().map(|entry| (entry.name.as_str(), entry.size_bytes)).collect::<Vec<_>>(),
        [("b", 6)]
    );
    fs::remove_file(root.path().join("b")).unwrap();
    let rest = files.list("docs", "", Some("a"), 10).unwrap();
    assert!(rest.entries.is_empty() && rest.last);
}

#[test]
fn names_that_are_not_utf8_are_shown_once_and_never_block_the_rest() {
    let root = tree();
    for name in [&b"a"[..], b"b\xff", b"b\xfe", b"c", b"\xff"] {
        fs::write(root.path().join(OsStr::from_bytes(name)), "").unwrap();
    }
    let files = files(root.path());
    let (mut names, mut unreadable, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let slice = files.list("docs", "", after.as_deref(), 1).unwrap();
        after = slice.entries.last().map(|entry| entry.name.clone());
        names.extend(slice.entries.into_iter().map(|entry| entry.name));
        unreadable.extend(slice.unreadable);
        if slice.last {
            break;
        }
    }
    assert_eq!(names, ["a", "c"]);
    assert_eq!(unreadable, ["b\u{fffd}", "b\u{fffd}", "\u{fffd}"]);
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
fn a_file_may_have_exactly_the_bytes_allowed() {
    let root = tree();
    for size in [0, 1, 511, 512, 131_072, 131_073, (1 << 20) + 1] {
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        fs::write(root.path().join("f"), &bytes).unwrap();
        let files = files(root.path());
        assert_eq!(files.open("docs", "f", size as u64).unwrap().read_all().unwrap(), bytes);
        if size > 0 {
            assert_eq!(files.open("docs", "f", size as u64 - 1).unwrap_err().code, "file_too_large");
        }
    }
}

#[test]
fn a_file_whose_length_lies_is_still_capped() {
    // Everything under /proc says it is empty and is not.
    let files = files(Path::new("/proc/self"));
    assert!(files.open("docs", "status", 1 << 20).unwrap().size_bytes() > 100);
    assert_eq!(files.open("docs", "status", 100).unwrap_err().code, "file_too_large");
}

#[test]
fn what_is_wrong_with_a_path_is_said() {
    let root = tree();
    fs::create_dir(root.path().join("dir")).unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    let files = files(root.path());
    assert_eq!(codes(files.open("docs", "gone", 10).unwrap_err()), (Fault::NotFound, "not_found".into()));
    assert_eq!(codes(files.open("docs", "gone/x", 10).unwrap_err()), (Fault::NotFound, "not_found".into()));
    assert_eq!(codes(files.open("docs", "dir", 10).unwrap_err()), (Fault::Unsupported, "not_a_file".into()));
    assert_eq!(codes(files.open("docs", "", 10).unwrap_err()), (Fault::Unsupported, "not_a_file".into()));
    assert_eq!(codes(files.open("docs", "file/x", 10).unwrap_err()), (Fault::NotFound, "not_a_directory".into()));
    assert_eq!(codes(files.list("docs", "file", None, 10).unwrap_err()), (Fault::NotFound, "not_a_directory".into()));
    assert_eq!(codes(files.open("docs", &"x".repeat(300), 10).unwrap_err()), (Fault::NotFound, "not_found".into()));
}

#[test]
fn a_root_that_is_not_granted_or_not_there_says_what_to_do() {
    let granted = ["docs".to_owned(), "gone".to_owned()];
    let files = Files::new(Arc::new(BTreeMap::from([("gone".to_owned(), "/nonexistent/root".into())])), granted);
    let failure = files.list("docs", "", None, 10).unwrap_err();
    assert_eq!(
        failure.message,
        "root \"docs\" is not granted: start the server with --root docs=PATH or add it under [roots] in the config file"
    );
    assert_eq!((failure.fault, failure.config_pointer.as_deref()), (Fault::Permission, Some("/root")));
    let failure = files.open("gone", "a", 10).unwrap_err();
    assert_eq!(
        (failure.fault, failure.code.as_str(), failure.config_pointer.as_deref()),
        (Fault::NotFound, "root_missing", Some("/root"))
    );
    assert_eq!(codes(files.list("else", "", None, 10).unwrap_err()), (Fault::Permission, "root_not_configured".into()));
}
