//! An extractor that ignores what it is given and reports what it can learn: the time, randomness, its input's blob, others.
//!
//! Empty on any other target than WebAssembly.
#![cfg(target_arch = "wasm32")]

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    time::{Instant, SystemTime},
};

wit_bindgen::generate!({ world: "extractor-plugin", path: "../../../wit/v0_1", generate_unused_types: true });

use exports::tributary::connector::extractor::Guest;
use tributary::connector::{blobs, types::*};

struct Probing;
export!(Probing);

impl Guest for Probing {
    fn extract(input: BlobId, media_type: String, name: Option<String>) -> Result<Extracted, Failure> {
        let start = Instant::now();
        let bytes = blobs::read(input, 0, 100)?;
        static FILES: AtomicU32 = AtomicU32::new(0);
        static POISONED: AtomicBool = AtomicBool::new(false);
        let file = FILES.fetch_add(1, Relaxed) + 1;
        assert!(!POISONED.load(Relaxed), "an earlier file was poison");
        match bytes.as_slice() {
            b"panic" => panic!("as asked"),
            b"poison" => POISONED.store(true, Relaxed),
            b"grow" => drop(std::hint::black_box(vec![1_u8; 40 << 20])),
            b"refuse" => {
                return Err(Failure {
                    fault: Fault::Unsupported,
                    code: "refused".into(),
                    message: "as asked".into(),
                    retry_after_ms: None,
                    config_pointer: None,
                    http_status: None,
                });
            }
            _ => {}
        }
        let other = (0..100).filter(|id| *id != input && blobs::info(*id).is_ok()).count();
        let findings = [
            format!("time {:?}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)),
            format!("random {}", RandomState::new().hash_one(0)),
            format!("elapsed {:?}", start.elapsed()),
            format!("input {}", String::from_utf8_lossy(&bytes)),
            format!("other blobs {other}"),
            format!("may create blobs {}", blobs::create().is_ok()),
            format!("environment {}", std::env::vars().count()),
            format!("files {}", std::fs::read_dir("/").is_ok()),
            format!("type {media_type} name {name:?}"),
            format!("file {file} of this instance"),
        ];
        Ok(Extracted {
            title: Some(" Two\nlines ".into()),
            language: Some("de-AT".into()),
            sections: findings.into_iter().map(|text| Section { heading: vec![], text, at: None }).collect(),
        })
    }
}
