//! Golden plans: `tests/golden/NAME.jsonl` (with `NAME.rules.toml`, and then `NAME.then.jsonl` on top of what the
//! first made) against `NAME.DIALECT.plan`. `cargo xtask bless` rewrites them; read the difference before you keep it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tablecast_core::{Catalog, Dialect, Draft, Origin, Rules};
use tablecast_tests::{fuzzing, render};

/// 2026-01-31T12:00:00Z: the modification time that each input pretends to have.
const MODIFIED: i64 = 1_769_860_800_000_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn dialects() -> Vec<&'static Dialect> {
    let connectors = tablecast::connectors().iter().map(|connector| connector.dialect);
    std::iter::once(&tablecast_core::memory::DIALECT).chain(connectors).collect()
}

/// The plan of one file on top of a catalog, which it brings forward.
fn plan(name: &str, text: &str, rules: &Rules, dialect: &'static Dialect, live: &mut Catalog) -> String {
    let mut draft = Draft::new(rules, dialect);
    let mut origin = Origin::file(name, MODIFIED);
    for line in text.lines() {
        draft.push_line_from(&mut origin, line.as_bytes());
    }
    let plan = draft.plan(live);
    fuzzing::adds_up(&plan, live, dialect);
    live.advance(&plan.changes);
    format!("== {name}\n{}", render::plan(&plan))
}

/// The files of `tests/golden`, each path without its folder.
fn names() -> BTreeSet<String> {
    fs::read_dir(folder())
        .expect("tests/golden is there")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("a plain name"))
        .collect()
}

#[test]
fn plans_are_as_blessed() {
    let bless = std::env::var_os("TABLECAST_BLESS").is_some();
    let files = names();
    let cases: Vec<&str> =
        files.iter().filter_map(|file| file.strip_suffix(".jsonl")).filter(|name| !name.ends_with(".then")).collect();
    assert!(cases.len() >= 8, "only {} inputs in tests/golden", cases.len());
    let mut expected = BTreeSet::new();
    let mut wrong = Vec::new();
    for case in cases {
        let read = |file: &str| fs::read_to_string(folder().join(file)).expect("a readable file");
        let rules_file = format!("{case}.rules.toml");
        let rules = match files.contains(&rules_file) {
            true => toml::from_str(&read(&rules_file)).expect("rules as the configuration has them"),
            false => Rules::default(),
        };
        for dialect in dialects() {
            let mut live = Catalog::default();
            let mut text = String::new();
            for input in [format!("{case}.jsonl"), format!("{case}.then.jsonl")] {
                if files.contains(&input) {
                    text.push_str(&plan(&input, &read(&input), &rules, dialect, &mut live));
                }
            }
            let golden = format!("{case}.{}.plan", dialect.name);
            if bless {
                fs::write(folder().join(&golden), &text).expect("a writable folder");
            } else if !files.contains(&golden) {
                wrong.push(format!("{golden} is missing"));
            } else if let Some(difference) = difference(&read(&golden), &text) {
                wrong.push(format!("{golden}\n{difference}"));
            }
            expected.insert(golden);
        }
    }
    for stale in files.iter().filter(|file| file.ends_with(".plan") && !expected.contains(*file)) {
        wrong.push(format!("{stale} belongs to no input: remove it"));
    }
    assert!(wrong.is_empty(), "{}\n\nif this is what you want: cargo xtask bless", wrong.join("\n\n"));
}

/// The first lines that differ, with what was blessed and what is.
fn difference(blessed: &str, is: &str) -> Option<String> {
    if blessed == is {
        return None;
    }
    let (mut left, mut right) = (blessed.lines(), is.lines());
    for number in 1.. {
        let pair = (left.next(), right.next());
        if pair.0 != pair.1 {
            return Some(format!(
                "  line {number}\n  - {}\n  + {}",
                pair.0.unwrap_or("(end)"),
                pair.1.unwrap_or("(end)")
            ));
        }
        if pair == (None, None) {
            break;
        }
    }
    Some("  only the line ends differ".to_owned())
}
