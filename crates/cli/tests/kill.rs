//! A load that is killed or interrupted at any moment, and run again, ends as one that was left alone.
#![cfg(all(unix, feature = "sqlite"))]

mod common;

use common::{Folder, Run};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Calls of all sorts: traits that come, go and change their type, repeated ids, no ids, bad lines.
fn calls(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let (user, id) = (n * 7919 % 400, if n % 50 == 49 { n - 20 } else { n });
        let at = format!("2026-01-{:02}T{:02}:00:00Z", n * 31 % 28 + 1, n % 24);
        let value = match n % 9 {
            0 if n > count / 2 => format!("{}.5", n % 100),
            1 => "null".to_owned(),
            2 => "\"N/A\"".to_owned(),
            _ => (n % 100).to_string(),
        };
        let line = match n % 11 {
            3 => format!(
                r#"{{"type":"track","messageId":"t{id}","userId":"u{user}","event":"Audience Entered","receivedAt":"{at}","properties":{{"audience_key":"a{0}","a{0}":true}}}}"#,
                n / 500
            ),
            7 if n % 2 == 0 => format!(r#"{{"type":"identify","userId":"u{user}","traits":{{"no_id":{n}}}}}"#),
            9 if n % 5 == 0 => "{\"type\":".to_owned(),
            _ => format!(
                r#"{{"type":"identify","messageId":"i{id}","userId":"u{user}","receivedAt":"{at}","timestamp":"{at}","traits":{{"t{0}":{value}}}}}"#,
                n / 300
            ),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

const LOAD: [&str; 5] = ["load", "calls.ndjson", "--rules", "rules.toml", "--json"];

fn folder(calls: &str, cut: usize) -> Folder {
    let folder = Folder::new();
    folder.write("calls.ndjson", calls);
    // Calls without a time get the file's, so it must be the same in every folder.
    let file = std::fs::File::options().append(true).open(folder.path("calls.ndjson")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_767_225_600)).unwrap();
    folder.write("rules.toml", format!("[cut]\nevents = {cut}\n"));
    folder
}

fn start(folder: &Folder) -> Child {
    folder.command(&LOAD).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What an undisturbed load of the calls makes, and how long it takes.
fn undisturbed(calls: &str, cut: usize) -> (BTreeMap<String, Vec<String>>, Duration) {
    let folder = folder(calls, cut);
    let begun = Instant::now();
    folder.run(&LOAD).ends(0);
    let took = begun.elapsed();
    (folder.tables(), took)
}

#[test]
fn killed_at_any_moment_and_run_again_it_ends_as_if_left_alone() {
    let calls = calls(6_000);
    let (expected, took) = undisturbed(&calls, 200);
    let random = RandomState::new();
    let (mut killed_in_time, mut rounds) = (0, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(15) || killed_in_time < 3 {
        rounds += 1;
        assert!(rounds < 200, "no kill came in time");
        let folder = folder(&calls, 200);
        let mut moments = Vec::new();
        for again in 0..4_u32 {
            let span = u64::try_from(took.as_micros()).unwrap();
            let moment = Duration::from_micros(random.hash_one((rounds, again)) % span);
            moments.push(moment);
            let mut child = start(&folder);
            std::thread::sleep(moment);
            killed_in_time += u32::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        folder.run(&LOAD).ends(0);
        let tables = folder.tables();
        for (table, rows) in &expected {
            assert_eq!(tables.get(table), Some(rows), "{table}, killed after {moments:?} of {took:?}");
        }
        assert_eq!(tables.len(), expected.len());
    }
}

#[test]
fn ctrl_c_finishes_the_running_commit_and_the_next_run_the_job() {
    let calls = calls(20_000);
    let (expected, took) = undisturbed(&calls, 500);
    let mut stopped = 0;
    for part in [2, 3, 4, 8] {
        let folder = folder(&calls, 500);
        let child = start(&folder);
        std::thread::sleep(took / part);
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let run = Run::of(child.wait_with_output().unwrap());
        if !sent.success() || run.code == Some(0) {
            continue; // it was faster than the signal
        }
        let run = run.ends(130);
        stopped += 1;
        let report = run.json();
        assert_eq!(report["stopped"], true);
        assert!(run.err.contains("to do: run the same command again"), "{run:?}");
        if let Some(line) = report["durable"]["line"].as_u64() {
            assert!(
                line > 0 && line < 20_000 && run.err.contains(&format!("up to line {line} of calls.ndjson")),
                "{run:?}"
            );
            assert!(!report["commits"].as_array().unwrap().is_empty());
        }
        folder.run(&LOAD).ends(0);
        assert!(folder.tables() == expected, "stopped at {}", report["durable"]);
    }
    assert!(stopped > 0, "no signal came in time");
}
