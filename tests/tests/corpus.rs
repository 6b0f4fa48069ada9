//! Replays the corpus of every fuzz target, and real files beside it; the panic's message names the file to look at.

use flate2::read::GzDecoder;
use std::fs;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tablecast_tests::fuzzing;

/// Fewer files than a target was given by hand mean that the corpus was not found.
const LEAST: usize = 15;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("the corpus is there").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= LEAST, "only {} files in {}", files.len(), folder.display());
    for file in files {
        let bytes = fs::read(&file).expect("a readable file");
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&bytes)));
        assert!(outcome.is_ok(), "{} breaks a rule of `{target}`; the reason stands above", file.display());
    }
}

#[test]
fn event() {
    replay("event", fuzzing::event);
}

#[test]
fn names() {
    replay("names", fuzzing::names);
}

#[test]
fn spool() {
    replay("spool", tablecast_server::spool::fuzz);
}

#[test]
fn uri() {
    replay("uri", fuzzing::uri);
}

#[test]
fn files_of_events() {
    for name in ["events-20k.ndjson.gz", "dirty-5k.ndjson.gz"] {
        let file =
            fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)).expect("the file is there");
        let mut bytes = Vec::new();
        GzDecoder::new(file).read_to_end(&mut bytes).expect("a whole gzip");
        fuzzing::event(&bytes);
    }
}
