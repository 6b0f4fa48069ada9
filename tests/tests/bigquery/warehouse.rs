//! What only BigQuery does: changes of a type outside of transactions, partitions, views, JSON, another client's view.

use super::{address, open, runtime};
use std::process::Command;
use std::sync::Arc;
use tablecast::Rehearsal;
use tablecast_bigquery::{BigQuery, CONNECTOR, DIALECT, Options};
use tablecast_core::rules::{Arrays, OnTypeConflict};
use tablecast_core::testing::{Probe, Row};
use tablecast_core::{Draft, ErrorKind, Rules, Uri, Warehouse};
use tablecast_testkit::load;

fn rules(name: &str) -> Rules {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    Rules { space: format!("{name}{nanos:x}"), ..Rules::default() }
}

async fn warehouse(rules: &Rules) -> BigQuery {
    open(&rules.schema(), address().options().expect("options")).await.expect("options as they should be")
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

async fn load_lines(warehouse: &BigQuery, rules: &Rules, lines: &[String]) {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    load(warehouse, &draft(rules, &lines)).await.expect("loaded");
}

async fn by_id(warehouse: &BigQuery, table: &str) -> Vec<Row> {
    let mut rows = warehouse.rows(table).await.expect("rows");
    rows.sort_by(|left, right| left["id"].cmp(&right["id"]));
    rows
}

fn cells<'a>(rows: &'a [Row], column: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row.get(column).map_or("", String::as_str)).collect()
}

const DAY: &str = "2026-01-01T00:00:00.500000Z";

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
        let lock = warehouse.rows("_lock").await.expect("rows");
        assert!(lock.len() == 1 && !lock[0].contains_key("changing"), "{lock:?}");
        assert!(lock[0]["schema_version"].parse::<i64>().expect("a number") >= 10, "{lock:?}");
        assert!(rows.iter().all(|row| !row.contains_key("_widened") && !row.contains_key("_replaced")));
    });
}

/// Somebody died between two steps of a change, at each of them: commits are refused, and whoever comes next finishes.
#[test]
fn a_change_that_was_broken_off_is_finished() {
    let first = [
        "ALTER TABLE T ADD COLUMN IF NOT EXISTS _widened STRING",
        "UPDATE T SET _widened = CAST(n AS STRING) WHERE n IS NOT NULL",
        "ALTER TABLE T RENAME COLUMN n TO _replaced",
        "ALTER TABLE T RENAME COLUMN _widened TO n",
        "ALTER TABLE T DROP COLUMN IF EXISTS _replaced",
    ];
    runtime().block_on(async {
        for done in 0..=first.len() {
            let rules = rules("broken");
            let writer = warehouse(&rules).await;
            load_lines(&writer, &rules, &[identify("m1", DAY, r#"{"n": 1}"#)]).await;
            let second = identify("m2", DAY, r#"{"vip": true}"#);
            let stale = draft(&rules, &[&second]);
            let plan = stale.plan(&writer.describe(&stale.tables()).await.expect("a catalog"));
            writer.apply(&plan.changes).await.expect("changes");
            let plan = stale.plan(&writer.describe(&stale.tables()).await.expect("a catalog"));

            let schema = rules.schema();
            let entry = r#"{"nonce":"x","steps":[{"table":"identifies","column":"n","to":"text"}]}"#;
            query(&format!("UPDATE {schema}._lock SET changing = '{entry}' WHERE TRUE")).await;
            for step in &first[..done] {
                query(&step.replace(" T ", &format!(" {schema}.identifies "))).await;
            }
            let refused = writer.commit(&plan.commits[0]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::SchemaMismatch, "after {done} steps: {refused:?}");
            load_lines(&writer, &rules, &[second]).await;
            let rows = by_id(&writer, "identifies").await;
            assert_eq!(cells(&rows, "n"), ["1", ""], "after {done} steps");
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
        // A number that BigQuery's JSON has no room for is no reason to stop.
        load_lines(&warehouse, &rules, &[identify("m2", DAY, r#"{"list": [1e1000, "x"]}"#)]).await;
        let rows = by_id(&warehouse, "identifies").await;
        assert_eq!(cells(&rows, "list")[1], r#""[1e1000,\"x\"]""#);
        let element =
            query(&format!("SELECT JSON_VALUE(list, '$[2]') FROM {}.identifies WHERE id = 'm1'", rules.schema())).await;
        assert_eq!(element, r#"x"y"#);
    });
}

/// More days than one statement may change, in one load, twice.
#[test]
fn rows_of_thousands_of_days_are_loaded_in_one_commit() {
    runtime().block_on(async {
        let rules = rules("days");
        let warehouse = warehouse(&rules).await;
        let lines: Vec<String> = (0..4_000)
            .map(|nth| {
                let (year, month, day) = (1990 + nth / 336, 1 + nth / 28 % 12, 1 + nth % 28);
                identify(
                    &format!("m{nth}"),
                    &format!("{year:04}-{month:02}-{day:02}T00:00:00Z"),
                    &format!(r#"{{"n": {nth}}}"#),
                )
            })
            .collect();
        load_lines(&warehouse, &rules, &lines).await;
        load_lines(&warehouse, &rules, &lines[..3_950]).await;
        let rows = warehouse.rows("identifies").await.expect("rows");
        assert_eq!(rows.len(), 4_000);
        let ledger = warehouse.rows("_commits").await.expect("rows");
        let of = |column: &str| -> i64 {
            let rows = ledger.iter().filter(|row| row["table_name"] == "identifies");
            rows.map(|row| row[column].parse::<i64>().expect("a number")).sum()
        };
        assert_eq!((of("loaded"), of("duplicates")), (4_000, 3_950));
    });
}

#[test]
fn views_show_one_row_per_id() {
    runtime().block_on(async {
        let rules = rules("views");
        let options = Options { views: true, ..address().options().expect("options") };
        let warehouse = open(&rules.schema(), options).await.expect("options");
        load_lines(&warehouse, &rules, &[identify("m1", DAY, r#"{"n": 1}"#)]).await;
        let schema = rules.schema();
        // As if it came again after the window in which duplicates are looked for.
        query(&format!("INSERT INTO {schema}.identifies (id, received_at, n) VALUES ('m1', TIMESTAMP '2027-01-01', 2)")).await;
        let counted = format!("SELECT CONCAT(CAST(COUNT(*) AS STRING), ' ', CAST(MAX(n) AS STRING), ' ', CAST(COUNT(loaded_at) AS STRING)) FROM {schema}");
        assert_eq!(query(&format!("{counted}.identifies_view")).await, "1 1 1");
        assert_eq!(query(&format!("{counted}.users_view")).await, "1 1 1");
        // One that is missing comes with the next change; a load goes on beside them.
        query(&format!("DROP VIEW {schema}.users_view")).await;
        load_lines(&warehouse, &rules, &[identify("m2", "2026-01-02T00:00:00Z", r#"{"n": 3, "vip": true}"#)]).await;
        assert_eq!(query(&format!("{counted}.users_view")).await, "1 3 1");
    });
}

/// Google's own client reads what was written, and finds the tables as they should be laid out.
#[test]
fn the_official_client_reads_the_same() {
    let Ok(python) = std::env::var("TABLECAST_BIGQUERY_PYTHON") else {
        panic!("TABLECAST_BIGQUERY_PYTHON is not set; run: cargo xtask emulators up bigquery")
    };
    runtime().block_on(async {
        let rules = rules("official");
        let warehouse = warehouse(&rules).await;
        let lines = [
            identify("m1", DAY, r#"{"b": true, "i": 9223372036854775807, "d": 99999999999999999999999999999999999999, "f": 450.75, "s": "é\"\n"}"#),
            identify("m2", DAY, r#"{"b": false, "t": "2026-01-31T10:00:00.000001Z"}"#),
        ];
        load_lines(&warehouse, &rules, &lines).await;
        let options: Options = address().options().expect("options");
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bigquery/official.py");
        let output = Command::new(python)
            .arg(script)
            .args([options.endpoint.as_deref().expect("an endpoint"), "test-project", rules.schema().as_str()])
            .args(["identifies", "users", "_commits", "_lock"])
            .output()
            .expect("a Python with the official client");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tables: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        for table in &tables {
            let name = table["table"].as_str().expect("a name");
            assert_eq!((&table["same"], &table["copied"]), (&true.into(), &true.into()), "{table}");
            let ours = warehouse.rows(name).await.expect("rows");
            let theirs = table["rows"].as_array().expect("rows");
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let text = |value: &serde_json::Value| match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            for row in &ours {
                let same = theirs.iter().any(|other| {
                    let other = other.as_object().expect("a row");
                    other.len() == row.len()
                        && row.iter().all(|(column, value)| {
                            // Python writes times in its own way; numbers beyond a float are text there.
                            let (ours, theirs) = (value.as_str(), text(&other[column]));
                            let time = theirs.replace("+00:00", "Z");
                            theirs == ours || time == ours || time.replace('Z', ".000000Z") == ours
                        })
                });
                assert!(same, "{name}: {row:?} is none of {theirs:?}");
            }
        }
        assert_eq!((&tables[0]["partition"], &tables[0]["clustering"]), (&"DAY received_at".into(), &serde_json::json!(["id"])));
        assert_eq!((&tables[1]["partition"], &tables[1]["clustering"]), (&serde_json::Value::Null, &serde_json::json!(["id"])));
    });
}

/// Bytes are told by dry runs of the very statements: nothing before there is a table, more with more rows, and whatever
/// a plan would add reads nothing.
#[test]
fn a_plan_says_what_it_would_read() {
    runtime().block_on(async {
        let rules = rules("estimate");
        let warehouse = Arc::new(warehouse(&rules).await);
        let wide = identify("m1", DAY, r#"{"n": 1, "list": [1], "vip": true}"#);
        let more = identify("m2", "2026-01-02T00:00:00Z", r#"{"n": 2, "new": 1.5, "list": [2]}"#);
        let bytes = async |line: &str| {
            let rehearsal = Rehearsal::before(warehouse.clone());
            load(&rehearsal, &draft(&rules, &[line])).await.expect("a plan");
            rehearsal.bytes()
        };
        assert_eq!(bytes(&wide).await, Some(0));
        load_lines(&warehouse, &rules, &[wide]).await;
        let first = bytes(&more).await.expect("bytes");
        assert!(first > 0);
        let others: Vec<String> = (10..20).map(|nth| identify(&format!("m{nth}"), DAY, r#"{"n": 3}"#)).collect();
        load_lines(&warehouse, &rules, &others).await;
        assert!(bytes(&more).await.expect("bytes") > first);
        assert_eq!(warehouse.rows("identifies").await.expect("rows").len(), 11, "nothing was done");
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
                && after.iter().any(|finding| finding.detail.ends_with("tables, schema version 0")),
            "{after:?}"
        );
        // Tables of others are no fault, but ours must be as they should be.
        query(&format!("CREATE TABLE {}.notes (words STRING)", rules.schema())).await;
        let beside = check().await;
        assert!(
            beside.iter().all(|finding| finding.ok)
                && beside.iter().any(|finding| finding.detail.ends_with("schema version 0, 1 of others")),
            "{beside:?}"
        );
        query(&format!("CREATE TABLE {}.pages (words STRING)", rules.schema())).await;
        assert!(check().await.iter().any(|finding| !finding.ok && finding.what == "tables"));

        let elsewhere = Uri::parse(&format!("bigquery:{}?location=EU&endpoint={}", address().body(), {
            let options: Options = address().options().expect("options");
            options.endpoint.expect("an endpoint")
        }));
        let findings = (CONNECTOR.check)(&elsewhere.expect("a URI"), &rules.schema()).await;
        let wrong = findings.iter().find(|finding| !finding.ok).expect("a finding");
        assert!(
            wrong.what == "location" && wrong.remedy.as_deref().is_some_and(|fix| fix.contains("location=US")),
            "{wrong:?}"
        );
    });
}

/// The only cell of a query's answer, past the connector.
async fn query(sql: &str) -> String {
    let options: Options = address().options().expect("options");
    let endpoint = options.endpoint.expect("an endpoint");
    let body = serde_json::json!({"query": sql, "useLegacySql": false, "timeoutMs": 60_000}).to_string();
    let answer = super::proxy::call(&endpoint, "POST /bigquery/v2/projects/test-project/queries", &body).await;
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert!(answer.get("error").is_none(), "{sql}: {answer}");
    answer["rows"][0]["f"][0]["v"].as_str().unwrap_or_default().to_owned()
}
