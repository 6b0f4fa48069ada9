//! What only Snowflake does: changes of a type in several statements, names that need no quotes, stages of both kinds, JSON,
//! and what others see with Snowflake's own connector.

use super::{Emulator, Own, address, open, options, rules, runtime, variable};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use tablecast_core::rules::{Arrays, OnTypeConflict};
use tablecast_core::testing::{Probe, Row};
use tablecast_core::{Draft, ErrorKind, Rules, Warehouse};
use tablecast_snowflake::{CONNECTOR, DIALECT, Encryption, Names, Options, Snowflake};
use tablecast_testkit::dump::{Dump, audit};
use tablecast_testkit::{Harness, Model, Opened, load};

async fn warehouse(rules: &Rules) -> Snowflake {
    open(&rules.schema(), options()).await
}

fn draft(rules: &Rules, lines: &[&str]) -> Draft {
    let mut draft = Draft::new(rules, &DIALECT);
    lines.iter().for_each(|line| draft.push_line(line.as_bytes()));
    draft
}

fn identify(id: &str, received: &str, traits: &str) -> String {
    format!(
        r#"{{"type":"identify","messageId":"{id}","userId":"u1","receivedAt":"{received}","timestamp":"{received}","traits":{traits}}}"#
    )
}

async fn load_lines(warehouse: &Snowflake, rules: &Rules, lines: &[String]) {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    load(warehouse, &draft(rules, &lines)).await.expect("loaded");
}

async fn by_id(warehouse: &Snowflake, table: &str) -> Vec<Row> {
    let mut rows = warehouse.rows(table).await.expect("rows");
    rows.sort_by(|left, right| left["id"].cmp(&right["id"]));
    rows
}

fn cells<'a>(rows: &'a [Row], column: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row.get(column).map_or("", String::as_str)).collect()
}

const DAY: &str = "2026-01-01T00:00:00.500000Z";

/// The name of a schema as SQL has it.
fn quoted(rules: &Rules) -> String {
    format!("\"{}\"", rules.schema().as_str().to_uppercase())
}

#[test]
fn every_kind_becomes_text_in_its_canonical_form() {
    runtime().block_on(async {
        let rules = Rules { on_type_conflict: OnTypeConflict::Text, ..rules("text") };
        let warehouse = warehouse(&rules).await;
        let first = [
            identify("m1", DAY, r#"{"b": true, "i": -9007199254740993, "d": 99999999999999999999, "f": 450.0, "t": "2026-01-31T10:00:00Z"}"#),
            identify("m2", DAY, r#"{"b": false, "i": 7, "d": -99999999999999999999, "f": 1e30, "t": "0001-01-01"}"#),
            identify("m3", DAY, r#"{"f": 1.5e-7, "keep": "x"}"#),
        ];
        load_lines(&warehouse, &rules, &first).await;
        let words = r#"{"b": "w", "i": "w", "d": "w", "f": "w", "t": "w"}"#;
        load_lines(&warehouse, &rules, &[identify("m4", "2026-01-02T00:00:00Z", words)]).await;
        let rows = by_id(&warehouse, "identifies").await;
        assert_eq!(cells(&rows, "b"), ["true", "false", "", "w"]);
        assert_eq!(cells(&rows, "i"), ["-9007199254740993", "7", "", "w"]);
        assert_eq!(cells(&rows, "d"), ["99999999999999999999", "-99999999999999999999", "", "w"]);
        assert_eq!(cells(&rows, "f"), ["450.0", "1e30", "1.5e-7", "w"]);
        assert_eq!(cells(&rows, "t"), ["2026-01-31T10:00:00.000000Z", "0001-01-01T00:00:00.000000Z", "", "w"]);
        assert_eq!(cells(&rows, "keep"), ["", "", "x", ""]);
        assert!(rows.iter().all(|row| !row.contains_key("_widened") && !row.contains_key("_replaced")));
    });
}

/// Somebody died between two steps of a change, at each of them: commits are refused, and whoever comes next finishes.
#[test]
fn a_change_that_was_broken_off_is_finished() {
    let steps = [
        r#"ALTER TABLE T ADD COLUMN IF NOT EXISTS "_WIDENED" FLOAT"#,
        r#"UPDATE T SET "_WIDENED" = CAST("N" AS FLOAT) WHERE "N" IS NOT NULL"#,
        r#"ALTER TABLE T RENAME COLUMN "N" TO "_REPLACED""#,
        r#"ALTER TABLE T RENAME COLUMN "_WIDENED" TO "N""#,
        r#"ALTER TABLE T DROP COLUMN IF EXISTS "_REPLACED""#,
    ];
    runtime().block_on(async {
        for done in 0..=steps.len() {
            let rules = rules("broken");
            let writer = warehouse(&rules).await;
            load_lines(&writer, &rules, &[identify("m1", DAY, r#"{"n": 1}"#)]).await;
            let second = identify("m2", DAY, r#"{"vip": true}"#);
            let stale = draft(&rules, &[&second]);
            let plan = stale.plan(&writer.describe(&stale.tables()).await.expect("a catalog"));
            writer.apply(&plan.changes).await.expect("changes");
            let plan = stale.plan(&writer.describe(&stale.tables()).await.expect("a catalog"));

            let schema = quoted(&rules);
            let entry = r#"{"nonce":"x","steps":[{"table":"identifies","column":"n","to":"float"}]}"#;
            writer.run(&format!(r#"UPDATE {schema}."_LOCK" SET "CHANGING" = '{entry}'"#)).await.expect("an entry");
            for step in &steps[..done] {
                let step = step.replacen(" T ", &format!(r#" {schema}."IDENTIFIES" "#), 1);
                let step = step.replacen("UPDATE T ", &format!(r#"UPDATE {schema}."IDENTIFIES" "#), 1);
                writer.run(&step).await.expect("a step");
            }
            let refused = writer.commit(&plan.commits[0]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::SchemaMismatch, "after {done} steps: {refused:?}");
            load_lines(&writer, &rules, &[second]).await;
            let rows = by_id(&writer, "identifies").await;
            assert_eq!(cells(&rows, "n"), ["1.0", ""], "after {done} steps");
            let catalog = writer.describe(&["identifies".into()]).await.expect("a catalog");
            let columns: Vec<String> = catalog.tables["identifies"].columns.keys().map(ToString::to_string).collect();
            assert!(
                !columns.iter().any(|name| name == "_widened" || name == "_replaced"),
                "after {done} steps: {columns:?}"
            );
            assert_eq!(catalog.version, 1, "after {done} steps");
        }
    });
}

#[test]
fn json_columns_are_json() {
    runtime().block_on(async {
        let rules = Rules { arrays: Arrays::Json, ..rules("json") };
        let warehouse = warehouse(&rules).await;
        load_lines(&warehouse, &rules, &[identify("m1", DAY, r#"{"list": [1, {"a": null}, "x\"y", 1.5]}"#)]).await;
        let rows = by_id(&warehouse, "identifies").await;
        assert_eq!(cells(&rows, "list"), [r#"[1,{"a":null},"x\"y",1.5]"#]);
        let sql = format!("SELECT ARRAY_SIZE(\"LIST\") FROM {}.IDENTIFIES", quoted(&rules));
        assert_eq!(warehouse.run(&sql).await.expect("a row"), [[Some("4".to_owned())]]);
    });
}

/// Both kinds of stage, both kinds of names, and a key instead of a password: the same cells.
#[test]
fn options_do_not_change_the_cells() {
    runtime().block_on(async {
        let key = format!("file:{}", variable("TABLECAST_SNOWFLAKE_KEY"));
        let key =
            || Options { password: None, private_key: Some(tablecast_core::Secret::new(key.clone())), ..options() };
        for (name, options) in [
            ("full", Options { encryption: Encryption::Full, ..options() }),
            ("sse", Options { encryption: Encryption::Sse, ..key() }),
            ("preserve", Options { names: Names::Preserve, ..options() }),
        ] {
            let rules = rules(name);
            let warehouse = std::sync::Arc::new(open(&rules.schema(), options).await);
            let mut draft = Draft::new(&rules, warehouse.dialect());
            for line in std::fs::read_to_string(golden("seed-identify.jsonl")).expect("the seed").lines() {
                draft.push_line(line.as_bytes());
            }
            load(&*warehouse, &draft).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let model = Model::like(warehouse.dialect()).open(&rules.schema()).await.expect("a model");
            load(&*model.warehouse, &draft).await.expect("the model loads");
            let opened = Opened { warehouse: warehouse.clone(), probe: warehouse.clone() };
            audit(&opened).await.expect("a sound schema");
            let (is, should) = (Dump::of(&opened).await.expect("tables"), Dump::of(&model).await.expect("tables"));
            is.must_equal(&should, name).expect("the model's cells");
        }
    });
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// Snowflake's own connector reads the seed's tables, without quotes, and every cell is the one that was written.
#[test]
fn the_official_connector_reads_the_same() {
    let python = variable("TABLECAST_SNOWFLAKE_PYTHON");
    runtime().block_on(async {
        let rules = rules("official");
        let warehouse = warehouse(&rules).await;
        let mut draft = Draft::new(&rules, &DIALECT);
        for file in
            ["seed-identify.jsonl", "seed-identify.then.jsonl", "seed-track.jsonl", "kinds.jsonl", "nulls.jsonl"]
        {
            for line in std::fs::read_to_string(golden(file)).expect("a golden file").lines() {
                draft.push_line(line.as_bytes());
            }
        }
        load(&warehouse, &draft).await.expect("loaded");
        let tables = warehouse.tables().await.expect("tables");
        assert!(
            ["identifies", "users", "tracks"].iter().all(|name| tables.iter().any(|table| table == name)),
            "{tables:?}"
        );
        let given = options();
        let database = address().body().rsplit('/').next().expect("a database").to_uppercase();
        let output = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snowflake/official.py"))
            .args([given.host.as_deref().expect("a host"), &given.port.expect("a port").to_string()])
            .args([database.as_str(), rules.schema().as_str()])
            .args(&tables)
            .output()
            .expect("a Python with the official connector");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut compared = 0;
        for line in read.lines() {
            let table: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let name = table["table"].as_str().expect("a name");
            for column in table["columns"].as_array().expect("columns") {
                let column = column.as_str().expect("a name");
                assert_eq!(column, column.to_uppercase(), "{name}: a column that needs quotes");
            }
            let mut theirs: Vec<Row> = table["rows"].as_array().expect("rows").iter().map(row).collect();
            let mut ours = warehouse.rows(name).await.expect("rows");
            // Python writes floats in its own way.
            let floats: BTreeSet<String> = floats(&warehouse, name).await;
            for row in theirs.iter_mut().chain(&mut ours) {
                for (_, cell) in row.iter_mut().filter(|(column, _)| floats.contains(*column)) {
                    *cell = format!("{:?}", cell.parse::<f64>().expect("a float"));
                }
            }
            theirs.sort_unstable();
            ours.sort_unstable();
            assert_eq!(ours, theirs, "{name}");
            compared += ours.iter().map(Row::len).sum::<usize>();
        }
        assert!(compared > 200, "{compared} cells");
    });
}

fn row(value: &serde_json::Value) -> Row {
    let object = value.as_object().expect("a row");
    object.iter().map(|(name, cell)| (name.to_lowercase(), cell.as_str().expect("text").to_owned())).collect()
}

async fn floats(warehouse: &Snowflake, table: &str) -> BTreeSet<String> {
    let catalog = warehouse.describe(&[table.into()]).await.expect("a catalog");
    let shape = catalog.table(table).expect("a table");
    let is_float = |ty: &tablecast_core::LiveType| ty.known() == Some(tablecast_core::Type::Float);
    shape.columns.iter().filter(|(_, ty)| is_float(ty)).map(|(name, _)| name.to_string()).collect()
}

/// What the launcher promises, seen by Snowflake's own connector.
#[test]
fn the_official_connector_drives_the_emulator() {
    let own = Own::start(&["--idle-after", "2"]);
    let given = options();
    let output = Command::new(variable("TABLECAST_SNOWFLAKE_PYTHON"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snowflake/drive.py"))
        .args([given.host.as_deref().expect("a host"), &given.port.expect("a port").to_string()])
        .args(["Tablecast-1", &own.key])
        .output()
        .expect("a Python with the official connector");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An emulator of our own, that says of every statement that it still runs: all is fetched, all is as it should be.
#[test]
fn a_load_whose_every_statement_is_slow() {
    let own = Own::start(&["--slow-after", "0"]);
    runtime().block_on(async {
        let rules = rules("slow");
        let slow = warehouse(&rules).await;
        let lines = [identify("m1", DAY, r#"{"n": 1}"#), identify("m2", DAY, r#"{"n": 2.5, "vip": true}"#)];
        load_lines(&slow, &rules, &lines).await;
        load_lines(&slow, &rules, &lines).await;
        assert_eq!(cells(&by_id(&slow, "identifies").await, "n"), ["1.0", "2.5"]);
        assert_eq!(slow.rows("users").await.expect("rows").len(), 1);
    });
    drop(own);
}

/// The values that a table has are more than one answer holds.
#[test]
fn large_results_come_in_pieces() {
    runtime().block_on(async {
        let rules = rules("pieces");
        let warehouse = warehouse(&rules).await;
        let lines: Vec<String> =
            (0..12_000).map(|nth| identify(&format!("m{nth}"), DAY, &format!(r#"{{"n": {nth}}}"#))).collect();
        load_lines(&warehouse, &rules, &lines).await;
        let rows = warehouse.rows("identifies").await.expect("rows");
        let read: BTreeSet<&str> = rows.iter().map(|row| row["n"].as_str()).collect();
        assert_eq!((rows.len(), read.len()), (12_000, 12_000));
    });
}

/// What killed processes left more than a day ago is swept by the next commit.
#[test]
fn leftovers_are_swept() {
    runtime().block_on(async {
        let rules = rules("swept");
        load_lines(&warehouse(&rules).await, &rules, &[identify("m1", DAY, r#"{"n": 1}"#)]).await;
        let (schema, other) = (quoted(&rules), warehouse(&rules).await);
        let now = "_STAGE_29990101T000000_AAAA_0";
        for name in ["_STAGE_20200101T000000_AAAA_0", now] {
            other.run(&format!(r#"CREATE TABLE {schema}."{name}" (K VARCHAR)"#)).await.expect("made");
        }
        load_lines(&warehouse(&rules).await, &rules, &[identify("m2", DAY, r#"{"n": 2}"#)]).await;
        assert_eq!(other.staged().await.expect("tables"), [now.to_lowercase()]);
        let listed = other.run(&format!(r#"LIST @{schema}."_TABLECAST""#)).await.expect("a list");
        assert!(listed.is_empty(), "files are removed after a commit: {listed:?}");
    });
}

#[test]
fn check_says_what_there_is() {
    runtime().block_on(async {
        let rules = rules("check");
        let check = async || (CONNECTOR.check)(&address(), &rules.schema()).await;
        let before = check().await;
        assert!(
            before.iter().all(|finding| finding.ok)
                && before.iter().any(|finding| finding.detail.contains("will be made")),
            "{before:?}"
        );
        load_lines(&warehouse(&rules).await, &rules, &[identify("m1", DAY, r#"{"n": 1}"#)]).await;
        let after = check().await;
        assert!(
            after.iter().all(|finding| finding.ok)
                && after.iter().any(|finding| finding.detail.contains("schema version 0")),
            "{after:?}"
        );
        let opened = Emulator.open(&rules.schema()).await.expect("an emulator");
        assert!(opened.probe.tables().await.expect("tables").iter().all(|table| !table.contains("check")));
    });
}
