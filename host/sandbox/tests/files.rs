//! Files under granted roots: sorted slices, nothing outside, nothing that hangs.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeMap, ffi::OsStr, fs, os::unix::ffi::OsStrExt, sync::Arc};

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
