//! What a connector author relies on.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, Read};

use proptest::prelude::*;
use serde::Deserialize;
use tributary_plugin_sdk::{testing::TestHost, *};

struct Picky;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    shops: Vec<Shop>,
}

#[derive(Deserialize)]
struct Shop {
    limit: u32,
}

impl Connector for Picky {
    type Config = Config;

    fn describe() -> Descriptor {
        Descriptor {
            id: "picky".into(),
            version: "0.0.1".into(),
            title: "Picky".into(),
            config_schema: "{}".into(),
            hosts: vec![],
            roots: vec![],
            capabilities: Capabilities::empty(),
        }
    }

    fn check(_: &dyn Host, config: Config) -> Result<Vec<CheckItem>, Failure> {
        Ok(config.shops.iter().map(|shop| CheckItem::ok(format!("limit {}", shop.limit))).collect())
    }

    fn pull(_: &dyn Host, _: Config, request: &PullRequest) -> Result<Page, Failure> {
        let at: u64 = request.cursor()?.unwrap_or_default();
        if at == 2 { Ok(Page::complete(vec![])) } else { Page::more(vec![], &(at + 1)) }
    }
}

export_connector!(Picky);

fn request(config: &str, cursor: Option<&str>) -> PullRequest {
    PullRequest {
        config: config.into(),
        cursor: cursor.map(str::to_owned),
        full: false,
        upper_bound: 0,
        max_items: 10,
        max_bytes: 1_000,
        deadline_ms: 1_000,
    }
}

#[test]
fn a_wrong_configuration_names_the_field() {
    let host = TestHost::new();
    for (config, pointer, message) in [
        (
            r#"{"shops":[{"limit":1},{"limit":"x"}]}"#,
            "/shops/1/limit",
            "Configuration /shops/1/limit is not valid: invalid type: string \"x\", expected u32.",
        ),
        (
            r#"{"shops":[],"a/b":1}"#,
            "/a~1b",
            "Configuration /a~1b is not valid: unknown field `a/b`, expected `shops`.",
        ),
        ("{}", "", "The configuration is not valid: missing field `shops`."),
        ("{", "", "The configuration is not valid: EOF while parsing an object."),
    ] {
        let failure = check::<Picky>(&host, config).unwrap_err();
        assert_eq!(
            (failure.fault, failure.config_pointer.as_deref(), failure.message.as_str()),
            (Fault::Config, Some(pointer), message)
        );
    }
    assert_eq!(check::<Picky>(&host, r#"{"shops":[{"limit":3}]}"#).unwrap()[0].name, "limit 3");
}

#[test]
fn cursors_are_typed_and_a_foreign_one_starts_over() {
    let host = TestHost::new();
    let page = pull::<Picky>(&host, &request(r#"{"shops":[]}"#, None)).unwrap();
    assert_eq!((page.next, page.cursor.as_deref()), (Next::More, Some("1")));
    assert_eq!(pull::<Picky>(&host, &request(r#"{"shops":[]}"#, Some("2"))).unwrap().next, Next::Complete);
    let failure = pull::<Picky>(&host, &request(r#"{"shops":[]}"#, Some("\"page 2\""))).unwrap_err();
    assert_eq!(failure.fault, Fault::CursorExpired);
}

#[test]
fn a_host_failure_passes_through_io_whole() {
    let host = TestHost::new();
    let mut reader = BlobReader::new(&host, 7);
    let failure: Failure = reader.read_to_end(&mut Vec::new()).unwrap_err().into();
    assert_eq!(failure.code, "unknown_blob");
    let failure: Failure = std::io::Error::other("disk").into();
    assert_eq!((failure.fault, failure.message.as_str()), (Fault::Internal, "disk"));
}

#[test]
fn blobs_are_written_sealed_and_read_whole() {
    let host = TestHost::new();
    let blob = host.create_blob().unwrap();
    host.append_blob(blob, b"ab").unwrap();
    assert_eq!(host.read_blob(blob, 0, 9).unwrap_err().code, "blob_not_finished");
    host.append_blob(blob, &vec![b'c'; 9 << 20]).unwrap();
    assert_eq!(host.finish_blob(blob).unwrap().size_bytes, (9 << 20) + 2);
    assert_eq!(host.append_blob(blob, b"d").unwrap_err().code, "blob_finished");
    assert_eq!(read_whole(&host, blob, 10 << 20).unwrap().len(), (9 << 20) + 2);
    assert_eq!(read_whole(&host, blob, 9 << 20).unwrap_err().fault, Fault::TooLarge);
    let sha256 = host.blob_info(host.blob("abc")).unwrap().sha256;
    assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn the_folder_host_refuses_what_the_real_one_refuses() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/a.txt"), "abc").unwrap();
    std::os::unix::fs::symlink("/etc", folder.path().join("link")).unwrap();
    let host = TestHost::new().with_root("r", folder.path()).with_root("gone", folder.path().join("nowhere"));
    let open = |root: &str, path: &str, max| host.open(root, path, max).map_err(|failure| failure.code);
    assert!(open("r", "sub/a.txt", 3).is_ok());
    for (root, path, code) in [
        ("r", "sub/a.txt", "file_too_large"),
        ("r", "sub/../sub/a.txt", "path_not_allowed"),
        ("r", "/etc/passwd", "path_not_allowed"),
        ("r", "link/passwd", "symlink"),
        ("r", "sub", "not_a_file"),
        ("r", "sub/a.txt/b", "not_a_directory"),
        ("r", "nothing", "not_found"),
        ("gone", "a", "root_missing"),
        ("other", "a", "root_not_granted"),
    ] {
        assert_eq!(open(root, path, 2).unwrap_err(), code, "{root} {path}");
    }
    let listing = host.list("r", "", Some("link"), 10).unwrap();
    assert_eq!((listing.entries.len(), listing.entries[0].kind, listing.last), (1, FileKind::Directory, true));
    assert!(!host.list("r", "", None, 1).unwrap().last);
}

#[test]
fn state_is_small() {
    let host = TestHost::new();
    host.set_state("a", Some("1")).unwrap();
    assert_eq!(host.state("a").unwrap().as_deref(), Some("1"));
    assert_eq!(host.set_state("b", Some(&"x".repeat(64 << 10))).unwrap_err().code, "state_full");
    host.set_state("a", None).unwrap();
    assert_eq!(host.state("a").unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_gives_the_bytes_from_any_offset(size in 0_usize..600_000, offset in 0_u64..700_000, step in 1_usize..300_000) {
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let host = TestHost::new();
        let mut reader = BlobReader::from_offset(&host, host.blob(bytes.clone()), offset);
        let start = (offset as usize).min(size);
        let mut read = Vec::new();
        while let Ok(slice) = reader.fill_buf() && !slice.is_empty() {
            let used = step.min(slice.len());
            read.extend_from_slice(&slice[..used]);
            reader.consume(used);
            prop_assert_eq!(reader.offset(), (start + read.len()) as u64);
        }
        prop_assert_eq!(&read[..], &bytes[start..]);
    }
}
