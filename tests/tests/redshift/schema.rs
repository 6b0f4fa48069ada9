//! Tables as Redshift has them: sizes of text, layouts, changes of type, and what people do to them by hand.

use crate::harness::{DATA, Emulator, WIRE, fresh_space, run};
use std::collections::BTreeMap;
use std::sync::Arc;
use tablecast_core::rules::OnTypeConflict;
use tablecast_core::testing::Probe;
use tablecast_core::{Draft, ErrorKind, Ident, Result, Rules, Uri, Warehouse, float_text};
use tablecast_redshift::{DIALECT, Redshift};
use tablecast_testkit::generate::Call;
use tablecast_testkit::load;

async fn open(variable: &str, options: &str) -> (Arc<Redshift>, Rules) {
    let rules = Rules { space: fresh_space(), ..Rules::default() };
    let uri = format!("{}{options}", Emulator::at(variable).uri_with(&[]));
    let redshift = Redshift::open(&Uri::parse(&uri).expect("a URI"), &rules.schema()).await.expect("a good URI");
    (Arc::new(redshift), rules)
}

fn identify(id: &str, traits: &str) -> String {
    Call::identify(id, "u1").traits(traits).line()
}

async fn write(redshift: &Redshift, rules: &Rules, lines: &[String]) -> Result<()> {
    let mut draft = Draft::new(rules, &DIALECT);
    lines.iter().for_each(|line| draft.push_line(line.as_bytes()));
    load(redshift as &dyn Warehouse, &draft).await.map(drop)
}

/// The sizes of the text columns of a table.
async fn sizes(redshift: &Redshift, table: &str) -> BTreeMap<Ident, usize> {
    let table = Ident::from(table);
    let catalog = redshift.describe(std::slice::from_ref(&table)).await.expect("a catalog");
    catalog.tables[&table].text_bytes.clone()
}

#[test]
fn text_columns_grow_with_what_comes() {
    for variable in [WIRE, DATA] {
        run(async {
            let (redshift, rules) = open(variable, "").await;
            write(&redshift, &rules, &[identify("m1", r#"{"a": "short", "b": "é"}"#)]).await.expect("rows");
            assert_eq!(sizes(&redshift, "identifies").await["a"], 512);
            // 300 characters of two bytes each.
            let long = "é".repeat(300);
            write(&redshift, &rules, &[identify("m2", &format!(r#"{{"a": "{long}", "c": "{long}"}}"#))])
                .await
                .expect("rows");
            for table in ["identifies", "users"] {
                let sizes = sizes(&redshift, table).await;
                assert_eq!((sizes["a"], sizes["b"], sizes["c"]), (2_048, 512, 2_048), "{table}");
            }
            let rows = redshift.rows("identifies").await.expect("rows");
            assert!(rows.iter().any(|row| row.get("c") == Some(&long)), "the text is whole");
            let (full, over) = ("x".repeat(65_535), "x".repeat(65_536));
            let traits = format!(r#"{{"a": "{full}", "b": "{over}"}}"#);
            write(&redshift, &rules, &[identify("m3", &traits)]).await.expect("rows");
            let sizes = sizes(&redshift, "identifies").await;
            assert_eq!((sizes["a"], sizes["b"]), (65_535, 512));
            let discards = redshift.rows("_discards").await.expect("rows");
            assert!(
                discards.iter().all(|row| row["reason"] == "value_too_long" && row["column_name"] == "b"),
                "{discards:?}"
            );
            assert!(!discards.is_empty());
        });
    }
}

#[test]
fn a_column_that_somebody_made_smaller_is_grown_again() {
    run(async {
        let (redshift, rules) = open(WIRE, "").await;
        let long = "x".repeat(1_000);
        write(&redshift, &rules, &[identify("m1", &format!(r#"{{"a": "{long}"}}"#))]).await.expect("rows");
        let mut draft = Draft::new(&rules, &DIALECT);
        draft.push_line(identify("m2", &format!(r#"{{"a": "{long}", "n": 1}}"#)).as_bytes());
        let plan = draft.plan(&redshift.describe(&draft.tables()).await.expect("a catalog"));
        redshift.apply(&plan.changes).await.expect("columns");
        let plan = draft.plan(&redshift.describe(&draft.tables()).await.expect("a catalog"));
        let table = format!("\"{}\".\"identifies\"", rules.schema());
        redshift.run(&format!("ALTER TABLE {table} DROP COLUMN \"a\"")).await.expect("done by hand");
        redshift.run(&format!("ALTER TABLE {table} ADD COLUMN \"a\" VARCHAR(16)")).await.expect("done by hand");
        let error = redshift.commit(&plan.commits[0]).await.expect_err("a stale plan");
        assert_eq!(error.kind(), ErrorKind::SchemaMismatch, "{error:?}");
        load(&*redshift as &dyn Warehouse, &draft).await.expect("a new plan");
        assert_eq!(sizes(&redshift, "identifies").await["a"], 2_048);
    });
}

#[test]
fn floats_become_text_in_their_one_form() {
    let floats = [
        0.1,
        0.1 + 0.2,
        450.75,
        -2.5,
        1e15,
        1_234_567_890_123_456.7,
        -1e15,
        1e16,
        -1.5e16,
        1e21,
        1.797e308,
        0.0001,
        0.000_012,
        1.234_5e-5,
        -0.000_01,
        1e-6,
        -1.5e-7,
        9_007_199_254_740_993.5,
        123_456_789.012_345_67,
        -0.5,
        2.0,
        100.0,
    ];
    for variable in [WIRE, DATA] {
        run(async {
            let (redshift, rules) = open(variable, "").await;
            let rules = Rules { on_type_conflict: OnTypeConflict::Text, ..rules };
            let lines: Vec<String> = floats
                .iter()
                .enumerate()
                .map(|(nth, float)| identify(&format!("m{nth:02}"), &format!(r#"{{"f": {}}}"#, float_text(*float))))
                .collect();
            write(&redshift, &rules, &lines).await.expect("floats");
            let read = async || {
                let rows = redshift.rows("identifies").await.expect("rows");
                let cells = rows.into_iter().map(|row| (row["id"].clone(), row["f"].clone()));
                cells
                    .filter(|(id, _)| id != "word")
                    .collect::<BTreeMap<String, String>>()
                    .into_values()
                    .collect::<Vec<_>>()
            };
            let should: Vec<String> = floats.iter().map(|float| float_text(*float)).collect();
            assert_eq!(read().await, should, "as floats");
            write(&redshift, &rules, &[identify("word", r#"{"f": "N/A"}"#)]).await.expect("a word");
            assert_eq!(read().await, should, "as text");
        });
    }
}

#[test]
fn numbers_that_a_float_cannot_hold_are_kept_aside() {
    for variable in [WIRE, DATA] {
        run(async {
            let (redshift, rules) = open(variable, "").await;
            let event =
                |id: &str, n: &str| Call::track(id, "u1", "Paid").properties(&format!(r#"{{"n": {n}}}"#)).line();
            let exact = [
                event("m1", "9007199254740993"),
                event("m2", "9007199254740994"),
                event("m3", "-9007199254740995"),
                event("m4", "7"),
            ];
            write(&redshift, &rules, &exact).await.expect("whole numbers");
            write(&redshift, &rules, &[event("m5", "0.5")]).await.expect("a float");
            let discards = redshift.rows("_discards").await.expect("rows");
            let mut kept: Vec<(&str, &str)> =
                discards.iter().map(|row| (row["event_id"].as_str(), row["value"].as_str())).collect();
            kept.sort_unstable();
            assert_eq!(kept, [("m1", "9007199254740993"), ("m3", "-9007199254740995")]);
            assert!(discards.iter().all(|row| row["reason"] == "precision" && row["table_name"] == "paid"));
        });
    }
}

#[test]
fn tables_can_be_laid_out_as_segment_does() {
    run(async {
        let (redshift, rules) = open(WIRE, "&keys=segment").await;
        write(&redshift, &rules, &[identify("m1", r#"{"n": 1}"#)]).await.expect("rows");
        // The key is none of those that change.
        write(&redshift, &rules, &[identify("m2", r#"{"n": 1.5}"#)]).await.expect("rows");
        assert_eq!(redshift.rows("identifies").await.expect("rows").len(), 2);
    });
}

#[test]
fn what_people_do_by_hand_is_found_and_said() {
    run(async {
        let (redshift, rules) = open(WIRE, "").await;
        let line = identify("m1", r#"{"n": 1}"#);
        write(&redshift, &rules, std::slice::from_ref(&line)).await.expect("rows");
        let schema = rules.schema();
        let by_hand = async |sql: &str| {
            redshift.run(&sql.replace("SCHEMA.", &format!("\"{schema}\"."))).await.expect("done by hand");
        };

        // The guard's row is gone: it is put back, and the plan made anew.
        by_hand("DELETE FROM SCHEMA.\"_lock\"").await;
        write(&redshift, &rules, &[identify("m2", r#"{"n": 2}"#)]).await.expect("the guard is put back");
        assert_eq!(redshift.rows("_lock").await.expect("rows").len(), 1);

        // A column of another type takes no values, in the open.
        by_hand("ALTER TABLE SCHEMA.\"identifies\" ADD COLUMN \"odd\" INTEGER").await;
        write(&redshift, &rules, &[identify("m3", r#"{"odd": 3}"#)]).await.expect("rows");
        let discards = redshift.rows("_discards").await.expect("rows");
        assert!(
            discards.iter().any(|row| row["column_name"] == "odd" && row["reason"] == "type_conflict"),
            "{discards:?}"
        );
    });
}

#[test]
fn leftovers_of_killed_processes_are_swept() {
    run(async {
        let (redshift, rules) = open(WIRE, "").await;
        write(&redshift, &rules, &[identify("m1", r#"{"n": 1}"#)]).await.expect("rows");
        let schema = rules.schema();
        for name in ["_stage_20200131t235959_0123456789abcdef_0", "_stage_29990131t235959_0123456789abcdef_0"] {
            redshift.run(&format!("CREATE TABLE \"{schema}\".\"{name}\" (\"k\" VARCHAR(8))")).await.expect("made");
        }
        let (again, _) = open(WIRE, "").await;
        drop(again);
        let uri = Emulator::at(WIRE).uri_with(&[]);
        let other = Redshift::open(&Uri::parse(&uri).expect("a URI"), &schema).await.expect("a good URI");
        write(&other, &rules, &[identify("m2", r#"{"n": 2}"#)]).await.expect("rows");
        assert_eq!(other.staged().await.expect("names"), ["_stage_29990131t235959_0123456789abcdef_0"]);
    });
}
