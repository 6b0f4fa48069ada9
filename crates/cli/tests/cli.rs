//! The command line as a user meets it.
#![cfg(feature = "sqlite")]

mod common;

use common::{Folder, Row, Run, gzip, personas, repository};
use serde_json::{Value, json};
use std::process::Stdio;

/// `columns` of the rows, by position; absent is null.
fn cells(rows: &[Row], columns: &[&str]) -> Vec<Value> {
    let mut list: Vec<Value> = rows
        .iter()
        .map(|row| columns.iter().map(|name| row.get(*name).cloned().unwrap_or_default()).collect())
        .collect();
    list.sort_by_cached_key(ToString::to_string);
    list
}

fn identify(n: usize) -> String {
    format!(
        r#"{{"type":"identify","messageId":"m{n}","userId":"u{n}","receivedAt":"2026-01-01T00:00:00Z","traits":{{"n":{n}}}}}"#
    )
}

fn lines(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|n| identify(n) + "\n").collect()
}

#[test]
fn the_seed_s_calls_become_the_seed_s_tables() {
    let folder = Folder::new();
    let run = folder.run(&["load", &personas()]).ends(0);
    assert!(run.err.is_empty(), "{run:?}");
    for part in ["personas_default", "new table  identifies", "│ u123    ┆ true", "next: tablecast show users"] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }

    let (first, revenue) = ("first_time_shopper", "total_revenue_180_days");
    let identifies = folder.rows("identifies");
    assert_eq!(
        cells(&identifies, &["user_id", first, revenue]),
        [json!(["u123", null, 450.0]), json!(["u123", true, null]), json!([null, true, null])]
    );
    assert_eq!(cells(&folder.rows("users"), &["user_id", first, revenue]), [json!(["u123", true, 450.0])]);
    let key = |table: &str, key: &str, column: &str| cells(&folder.rows(table), &["user_id", key, column]);
    assert_eq!(key("audience_entered", "audience_key", first), [json!(["u123", first, true])]);
    assert_eq!(key("audience_exited", "audience_key", first), [json!(["u123", first, false])]);
    assert_eq!(key("trait_computed", "trait_key", revenue), [json!(["u123", revenue, 450.0])]);
    assert_eq!(
        cells(&folder.rows("tracks"), &["event", "event_text"]),
        [
            json!(["audience_entered", "Audience Entered"]),
            json!(["audience_exited", "Audience Exited"]),
            json!(["trait_computed", "Trait Computed"])
        ]
    );
    // Only core columns beside those of the seed.
    let columns: Vec<&String> = identifies.iter().flat_map(Row::keys).collect();
    let core = ["id", "received_at", "user_id", "anonymous_id", "sent_at", "original_timestamp", "timestamp"];
    for column in columns {
        assert!(core.contains(&column.as_str()) || [first, revenue].contains(&column.as_str()), "{column}");
    }
}

#[test]
fn json_has_all_that_the_text_has_and_a_second_load_adds_nothing() {
    let folder = Folder::new();
    let first = folder.run(&["load", &personas(), "--json"]).ends(0).json();
    assert_eq!(first["schema"], "personas_default");
    assert_eq!(
        first["tables"]["identifies"],
        json!({"received": 3, "loaded": 3, "duplicates": 0, "filtered": 0, "discarded": 0})
    );
    assert_eq!(first["tables"]["users"]["loaded"], 1);
    assert_eq!(
        first["preview"]["users"],
        json!([{"user_id": "u123", "first_time_shopper": true, "total_revenue_180_days": 450.0}])
    );
    assert_eq!((&first["discards"], &first["errors"], &first["stopped"]), (&json!(0), &json!([]), &json!(false)));
    assert!(
        first["changes"].as_array().unwrap().iter().any(|change| change["table"] == "users"
            && change["change"] == "create_table"
            && change["kind"] == "merge")
    );

    let before = folder.tables();
    let second = folder.run(&["load", &personas(), "--json"]).ends(0).json();
    assert_eq!(second["changes"], json!([]));
    assert_eq!(second["commits"][0]["replayed"], true);
    assert_eq!(second["commits"][0]["id"], first["commits"][0]["id"]);
    // Cut differently, the same calls are no replay, and still nothing comes twice.
    let rules = folder.write("rules.toml", "[cut]\nevents = 1\n");
    let third = folder.run(&["load", &personas(), "--json", "--rules", &rules]).ends(0).json();
    assert_eq!(third["commits"].as_array().unwrap().len(), 6);
    assert_eq!(third["tables"]["identifies"]["duplicates"], 3);
    assert_eq!(folder.tables(), before);
    assert!(folder.run(&["load", &personas()]).ends(0).out.contains("nothing was loaded twice"));
}

#[test]
fn one_file_in_every_wrapping_gives_the_same_tables() {
    let text = std::fs::read(personas()).unwrap();
    let plain = Folder::new();
    plain.run(&["load", &personas()]).ends(0);
    let tables = plain.tables();

    let windows = String::from_utf8(text.clone()).unwrap().replace('\n', "\r\n\r\n");
    let bare = String::from_utf8(text.clone()).unwrap().trim_end().to_owned();
    for (name, bytes) in [
        ("a.ndjson.gz", gzip(&text)),
        ("a.ndjson.zst", zstd::encode_all(&text[..], 3).unwrap()),
        ("windows.ndjson", format!("\u{feff}{windows}").into_bytes()),
        ("bare.ndjson", bare.into_bytes()),
    ] {
        let folder = Folder::new();
        let file = folder.write(name, &bytes);
        folder.run(&["load", &file, "--strict"]).ends(0);
        assert_eq!(folder.tables(), tables, "{name}");
        let piped = Folder::new();
        piped.run_with_input(&["load", "-", "--strict"], &bytes).ends(0);
        assert_eq!(piped.tables(), tables, "{name} by standard input");
    }
    let unnamed = Folder::new();
    unnamed.run_with_input(&["load", "--strict"], &text).ends(0);
    assert_eq!(unnamed.tables(), tables, "standard input without a dash");
}

#[test]
fn several_files_and_a_directory() {
    let folder = Folder::new();
    folder.write("in/b.jsonl", lines(3..5));
    folder.write("in/a.ndjson.gz", gzip(lines(0..3).as_bytes()));
    folder.write("in/notes.txt", "not calls");
    folder.write("in/deeper/c.ndjson", lines(90..99));
    folder.write("more.ndjson", lines(4..7));
    let report = folder.run(&["load", "in", "more.ndjson", "--json", "--strict"]).ends(0).json();
    assert_eq!(report["tables"]["identifies"]["received"], 8);
    assert_eq!(report["tables"]["identifies"]["duplicates"], 1);
    assert_eq!(report["commits"].as_array().unwrap().len(), 1, "small files share a commit");
    assert_eq!(folder.rows("users").len(), 7);

    std::fs::create_dir(folder.path("empty")).unwrap();
    folder.run(&["load", "empty"]).ends(2).says("no files of calls (path: empty)", ".ndjson");
    folder.run(&["load", "in", "--source", "x"]).ends(2).says("--source names one input, but there are 2", "--source");
    folder.run(&["load", "-", "-"]).ends(2).says("twice", "once");
}

#[test]
fn a_source_s_name_makes_ids_and_a_space_makes_a_schema() {
    let folder = Folder::new();
    let call = r#"{"type":"identify","userId":"u1","traits":{"a":1}}"#;
    folder.write("a/x.ndjson", call);
    folder.write("b/x.ndjson", call);
    let both = folder.run(&["load", "a/x.ndjson", "b/x.ndjson", "--json"]).ends(0).json();
    assert!(both["notices"][0].as_str().unwrap().contains("two inputs are called x.ndjson"), "{both}");
    folder.run(&["load", "a/x.ndjson"]).ends(0);
    folder.run(&["load", "b/x.ndjson", "--source", "other"]).ends(0);
    let shop = ["--space", "Corner Shop"];
    folder.run(&["load", "a/x.ndjson", shop[0], shop[1]]).ends(0);
    assert_eq!(folder.rows_of(&["show", "identifies", shop[0], shop[1]]).len(), 1);
    assert!(folder.path("warehouse/personas_corner_shop.db").exists());
    let ids = cells(&folder.rows("identifies"), &["id"]);
    assert_eq!(ids.len(), 2, "equal lines of equally named files are one call: {ids:?}");
    assert_eq!(
        cells(&folder.rows("_commits"), &["source"]).iter().filter(|source| *source == &json!(["other"])).count(),
        2
    );
}

#[test]
fn the_clock_of_a_file_is_its_modification_time() {
    let folder = Folder::new();
    folder.write("x.ndjson", "{\"type\":\"identify\",\"userId\":\"u1\",\"traits\":{\"a\":1}}\n");
    let file = std::fs::File::options().append(true).open(folder.path("x.ndjson")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_600)).unwrap();
    folder.run(&["load", "x.ndjson"]).ends(0);
    assert_eq!(cells(&folder.rows("identifies"), &["received_at"]), [json!(["2026-01-01T00:00:00.000001Z"])]);
}

#[test]
fn bad_lines_are_discards_and_strict_says_so() {
    let folder = Folder::new();
    let mut bytes = lines(0..2).into_bytes();
    bytes.extend(b"{\"type\":\"identify\",\"userId\"\n\xff\xfe\n[]\n{}\n");
    bytes.extend(lines(2..3).as_bytes());
    folder.write("x.ndjson", &bytes);
    let report = folder.run(&["load", "x.ndjson", "--json", "--strict"]).ends(3).json();
    assert_eq!(report["discards"], 4);
    assert_eq!(report["tables"]["users"]["loaded"], 3);
    let run = folder.run(&["load", "x.ndjson"]).ends(0);
    assert!(
        run.out.contains("4 discards kept in _discards") && run.out.contains("next: tablecast discards"),
        "{run:?}"
    );
    folder.run(&["load", "x.ndjson", "--strict"]).ends(3);
    let shown = folder.run(&["discards", "--json"]).ends(0).json();
    assert_eq!(shown["rows"].as_array().unwrap().len(), 4);
    assert_eq!(shown["more"], false);
    let text = folder.run(&["discards", "--limit", "1"]).ends(0);
    assert!(text.out.contains("│ reason") && text.out.contains("and more: --limit"), "{text:?}");
}

#[test]
fn a_line_of_forty_megabytes_is_one_discard() {
    let folder = Folder::new();
    let mut bytes = lines(0..1).into_bytes();
    bytes.extend(br#"{"type":"identify","userId":"u9","traits":{"a":""#);
    let begin = bytes.len() - br#"{"type":"identify","userId":"u9","traits":{"a":""#.len();
    bytes.resize(begin + (40 << 20) - 3, b'a');
    bytes.extend(b"\"}}\n");
    bytes.extend(lines(1..2).as_bytes());
    folder.write("x.ndjson", &bytes);
    let report = folder.run(&["load", "x.ndjson", "--json"]).ends(0).json();
    assert_eq!((&report["discards"], &report["tables"]["users"]["loaded"]), (&json!(1), &json!(2)));
    let discard = &folder.rows("_discards")[0];
    assert_eq!(discard["bytes"], 40 << 20);
    assert_eq!(discard["value"].as_str().unwrap().len(), 60_000);
    assert_eq!(discard["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn ten_thousand_keys_in_one_call_are_columns_or_discards() {
    let folder = Folder::new();
    let keys: Vec<String> = (0..10_000).map(|n| format!("\"key_{n}\":{n}")).collect();
    let wide =
        format!("{{\"type\":\"identify\",\"messageId\":\"w\",\"userId\":\"w\",\"traits\":{{{}}}}}\n", keys.join(","));
    folder.write("wide.ndjson", wide + &identify(1));
    let report = folder.run(&["load", "wide.ndjson", "--json"]).ends(0).json();
    assert_eq!(report["tables"]["identifies"]["loaded"], 2, "{report}");
    let is_key = |name: &str| name.starts_with("key_");
    let discards = folder.rows("_discards").into_iter().filter(|row| {
        row["reason"] == "too_many_columns"
            && row["table_name"] == "identifies"
            && is_key(row["column_name"].as_str().unwrap())
    });
    let columns = folder.rows("identifies").into_iter().find(|row| row["id"] == "w").unwrap();
    let columns = columns.iter().filter(|(name, value)| is_key(name) && !value.is_null());
    assert_eq!(discards.count() + columns.count(), 10_000, "each key is a column or a discard");
}

#[test]
fn a_full_disk_says_so_and_loses_nothing() {
    let folder = Folder::new();
    folder.write("calls.ndjson", lines(0..3_000));
    let full = folder.run(&["load", "calls.ndjson", "--to", "sqlite:warehouse?max_page_count=60"]).ends(1);
    full.says("full", "run again");
    folder.run(&["load", "calls.ndjson"]).ends(0);
    assert_eq!(folder.rows("identifies").len(), 3_000);
}

#[test]
fn a_half_written_file_is_loaded_as_far_as_it_goes() {
    let whole = lines(0..20_000);
    for (name, bytes) in
        [("x.ndjson.gz", gzip(whole.as_bytes())), ("x.ndjson.zst", zstd::encode_all(whole.as_bytes(), 1).unwrap())]
    {
        let folder = Folder::new();
        folder.write(name, &bytes[..bytes.len() / 2]);
        folder.write("y.ndjson", lines(50_000..50_001));
        let run = folder.run(&["load", name, "y.ndjson", "--json"]).ends(1).says("truncated", "not loaded twice");
        let report = run.json();
        let loaded = report["tables"]["users"]["loaded"].as_u64().unwrap();
        assert!(loaded > 5_000 && loaded < 15_000, "{name}: {loaded}");
        assert!(report["errors"][0]["what"].as_str().unwrap().contains(name));
        assert_eq!(report["discards"], 0, "the piece of a line at the end is no line");

        folder.write(name, &bytes);
        folder.run(&["load", name, "--strict"]).ends(0);
        assert_eq!(folder.rows("identifies").len(), 20_001, "{name}: the other file was loaded too");
    }
}

#[test]
fn wrong_paths_uris_and_rules_end_with_2_and_what_to_do() {
    let folder = Folder::new();
    let personas = personas();
    let to = |uri: &str| folder.run(&["load", &personas, "--to", uri]).ends(2);
    folder.run(&["load", "no/such.ndjson"]).ends(2).says("no/such.ndjson", "check the path");
    to("warehouse").says("no scheme", "sqlite:./warehouse");
    to("oracle:x").says("no connector knows this scheme", "sqlite:");
    to("snowflake://x").says("without the connector", "--features snowflake");
    to("sqlite:w?mode=upside-down").says("option", "README");
    folder.run(&["plan", &personas, "--dialect", "oracle"]).ends(2).says("oracle", "sqlite:");
    folder.write("rules.toml", "space = \"x\"\ntimestamp = \"off\"\n");
    folder
        .run(&["load", &personas, "--rules", "rules.toml"])
        .ends(2)
        .says("line 2 of the rules: unknown field", "--help");
    folder.run(&["load", &personas, "--rules", "no.toml"]).ends(2).says("cannot read the rules", "rules file");
    folder.run(&["show", "users"]).ends(2).says("no warehouse file", "load something");
    assert_eq!(folder.run(&["load", "--no-such-option"]).code, Some(2));
    assert_eq!(folder.run(&[]).code, Some(2));
    assert_eq!(folder.names(), ["rules.toml"], "nothing was made");
}

#[test]
fn a_plan_is_what_the_load_then_does_and_makes_nothing() {
    let folder = Folder::new();
    let rules = folder.write("rules.toml", "[cut]\nevents = 700\n");
    let dirty = repository("tests/data/dirty-5k.ndjson.gz").display().to_string();
    let args = |command| [command, dirty.as_str(), "--rules", rules.as_str(), "--json"];
    let planned = folder.run(&args("plan")).ends(0).json();
    let offline = folder.run(&[&args("plan")[..], &["--dialect", "sqlite"]].concat()).ends(0).json();
    assert_eq!(folder.names(), ["rules.toml"], "not even the directory");
    let done = folder.run(&args("load")).ends(0).json();
    assert!(done["commits"].as_array().unwrap().len() > 5);
    for key in ["changes", "commits", "notices", "discards"] {
        assert_eq!(planned[key], done[key], "{key}");
        assert_eq!(planned[key], offline[key], "{key}");
    }
    for (table, counts) in done["tables"].as_object().unwrap() {
        for key in ["received", "filtered", "discarded"] {
            assert_eq!(planned["tables"][table][key], counts[key], "{table} {key}");
        }
    }
    let again = folder.run(&args("plan")).ends(0).json();
    assert_eq!(again["changes"], json!([]), "after the load there is nothing to change");
    let text = folder.run(&["plan", &personas()]).ends(0);
    assert!(text.out.contains("nothing was done"), "{text:?}");
}

#[test]
fn the_shared_files_load_whole() {
    for (name, strict) in [("events-20k", 0), ("dirty-5k", 3)] {
        let folder = Folder::new();
        let file = repository(&format!("tests/data/{name}.ndjson.gz")).display().to_string();
        let report = folder.run(&["load", &file, "--strict", "--json"]).ends(strict).json();
        for (table, counts) in report["tables"].as_object().unwrap() {
            let number = |key: &str| counts[key].as_u64().unwrap();
            let parts = ["loaded", "duplicates", "filtered", "discarded"].map(number).iter().sum::<u64>();
            assert_eq!(number("received"), parts, "{name} {table}");
        }
        let before = folder.tables();
        folder.run(&["load", &file]).ends(0);
        assert_eq!(folder.tables(), before, "{name}");
    }
}

#[test]
fn a_warehouse_that_is_read_only_or_damaged_says_so() {
    let folder = Folder::new();
    folder.run(&["load", &personas()]).ends(0);
    let before = folder.tables();
    folder.write("more.ndjson", lines(0..1));
    let ro = "sqlite:./warehouse?mode=ro";
    folder.run(&["load", "more.ndjson", "--to", ro]).ends(1).says("read only", "mode=ro");
    folder.run(&["plan", "more.ndjson", "--to", ro]).ends(0);
    assert_eq!(folder.rows_of(&["show", "users", "--to", ro]).len(), 1);
    assert_eq!(folder.tables(), before);

    folder.write("bad/personas_default.db", vec![b'x'; 8192]);
    folder.run(&["load", "more.ndjson", "--to", "sqlite:bad"]).ends(1).says("not a SQLite database", "restore");
    folder.run(&["check", "--to", "sqlite:bad"]).ends(1);
}

#[test]
fn check_says_what_is_well_and_what_is_not() {
    let folder = Folder::new();
    let well = folder.run(&["check"]).ends(0);
    assert!(well.out.contains('✓') && well.out.contains("a load can work"), "{well:?}");
    assert!(folder.names().is_empty(), "looking makes nothing");
    folder.write("file", "");
    let ill = folder.run(&["check", "--to", "sqlite:file/in/the/way"]).ends(1);
    assert!(ill.out.contains('✗') && ill.out.contains("to do: "), "{ill:?}");
    let json = folder.run(&["check", "--to", "sqlite:file/in/the/way", "--json"]).ends(1).json();
    assert_eq!(json["ok"], false);
    assert!(json["findings"].as_array().unwrap().iter().any(|finding| finding["to_do"].is_string()));
}

#[test]
fn show_knows_its_tables_and_its_limit() {
    let folder = Folder::new();
    folder.write("x.ndjson", lines(0..30));
    folder.run(&["load", "x.ndjson"]).ends(0);
    folder.run(&["show", "persons"]).ends(2).says("no such table", "users");
    let shown = folder.run(&["show", "users", "--limit", "7", "--json"]).ends(0).json();
    assert_eq!((shown["rows"].as_array().unwrap().len(), &shown["more"]), (7, &json!(true)));
    let text = folder.run(&["show", "users"]).ends(0).out;
    assert!(text.contains("│ user_id ┆ n") && text.contains("and more: --limit 100"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(folder.run(&["discards"]).ends(0).out.contains("nothing was discarded"));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let folder = Folder::new();
    let mut child =
        folder.command(&["load", &personas()]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = Run::of(child.wait_with_output().unwrap()).ends(0);
    assert!(run.err.is_empty(), "{run:?}");
    assert_eq!(folder.rows("users").len(), 1);
}

#[test]
fn help_and_completions() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(folder.run(&["completions", shell]).ends(0).out.contains("discards"), "{shell}");
    }
    let help = folder.run(&["--help"]).ends(0).out;
    for part in ["Examples:", "Exit codes:", "completions", "messageId"] {
        assert!(help.contains(part), "{part}");
    }
    for command in ["load", "plan", "check", "show", "discards"] {
        let help = folder.run(&[command, "--help"]).ends(0).out;
        assert!(help.contains("--to <URI>") && help.contains("--json"), "{command}: {help}");
    }
    assert!(folder.run(&["load", "--help"]).ends(0).out.contains("[off]"));
    assert!(folder.run(&["--version"]).ends(0).out.starts_with("tablecast "));
}
