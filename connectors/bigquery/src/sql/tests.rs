//! The SQL that is written, for plans made from calls.

use super::*;
use tablecast_core::rules::Arrays;
use tablecast_core::{Catalog, Draft, Origin, Rules};

const ATTEMPT: Attempt<'_> = Attempt { nonce: "n", stamp: 0, staging_ms: 5 };

fn plan(lines: &[&str]) -> Commit {
    let mut draft = Draft::new(&Rules::default(), &DIALECT);
    lines.iter().for_each(|line| draft.push_line(line.as_bytes()));
    draft.plan(&Catalog::default()).commits.remove(0)
}

fn script(commit: &Commit, within: Option<(i64, i64)>, spans: &[(i64, i64)]) -> Vec<String> {
    let part = |(nth, load): (usize, &'static Load)| {
        let groups = shared::groups(load, &DIALECT);
        let stages = (0..groups.len()).map(|group| format!("s{nth}_{group}")).collect();
        Part { load, groups, stages, spans: spans.to_vec(), within: within.filter(|_| load.kind == TableKind::Append) }
    };
    let loads: &'static [Load] = Vec::leak(commit.loads.clone());
    let parts: Vec<Part<'_>> = loads.iter().enumerate().map(part).collect();
    Writer::new("d").commit(commit, &parts, &ATTEMPT).split(";\n").map(str::to_owned).collect()
}

const LINE: &str =
    r#"{"type":"identify","messageId":"m1","userId":"u1","receivedAt":"2026-01-01T00:00:00Z","traits":{"n":1}}"#;

#[test]
fn the_guard_comes_before_anything_is_read_and_the_ledger_before_the_end() {
    let commit = plan(&[LINE]);
    let script = script(&commit, Some((0, 1_000_000)), &[]);
    let at = |part: &str| {
        script.iter().position(|text| text.contains(part)).unwrap_or_else(|| panic!("no {part} in {script:#?}"))
    };
    assert!(at("BEGIN TRANSACTION") + 1 == at("UPDATE `d`.`_lock` SET"));
    assert!(at("UPDATE `d`.`_lock`") + 1 == at("ASSERT @@row_count > 0"));
    assert!(at("ASSERT @@row_count > 0") < at("IF NOT EXISTS"));
    assert!(at("INSERT INTO `d`.`identifies`") + 1 == at("_tablecast_loaded + @@row_count"));
    assert!(
        at("@@row_count > 0") < at("INSERT INTO `d`.`_commits`")
            && at("INSERT INTO `d`.`_commits`") < at("COMMIT TRANSACTION")
    );
    let inserted = &script[at("INSERT INTO `d`.`identifies`")];
    let pruned = "`identifies`.`received_at` >= TIMESTAMP '1970-01-01 00:00:00.000000+00' AND `identifies`.`received_at` <= TIMESTAMP '1970-01-01 00:00:01.000000+00'";
    assert!(inserted.contains(pruned), "{inserted}");
    // No permanent table is made or altered inside.
    assert!(!script.iter().any(|text| text.starts_with("CREATE") || text.starts_with("ALTER")));
    assert_eq!(script.iter().filter(|text| text.contains("IF NOT EXISTS (")).count(), commit.loads.len());
    assert_eq!(script.iter().filter(|text| *text == "END IF").count(), commit.loads.len());
}

#[test]
fn what_a_source_is_called_cannot_leave_its_literal() {
    let commit = Commit { source: "x'); DROP TABLE y; --\\".into(), ..plan(&[LINE]) };
    let script = script(&commit, None, &[]).join("\n");
    assert!(!script.contains("x')") && script.contains("CHR(39)") && script.contains("CHR(92)"), "{script}");
}

#[test]
fn thousands_of_long_names_fit_the_scripts() {
    let rules = Rules { arrays: Arrays::Json, ..Rules::default() };
    let mut draft = Draft::new(&rules, &DIALECT);
    let source = format!("{}.ndjson", "calls".repeat(20));
    for nth in 0..4 {
        let names = (nth * 1_500)..((nth + 1) * 1_500);
        let traits: Vec<String> = names.map(|name| format!(r#""{}_{name}": [{name}]"#, "n".repeat(240))).collect();
        let line = format!(
            r#"{{"type":"identify","messageId":"m{nth}","userId":"u1","receivedAt":"2026-01-01T00:00:00Z","traits":{{{}}}}}"#,
            traits.join(", ")
        );
        draft.push_line_from(&mut Origin::file(source.replace("calls", &format!("{nth}")), 0), line.as_bytes());
    }
    let plan = draft.plan(&Catalog::default());
    let mut named = std::collections::BTreeSet::new();
    for commit in &plan.commits {
        let length = script(commit, None, &[]).join(";\n").len();
        assert!(length < 1024 * 1024, "{length}");
        let loads = commit.loads.iter().filter(|load| load.table == *"users");
        named.extend(loads.flat_map(|load| load.columns.iter().map(|column| column.name.clone())));
    }
    assert!(plan.commits.len() > 1 && named.len() >= 6_000, "{} names in {}", named.len(), plan.commits.len());
    assert!(plan.commits.iter().all(|commit| commit.loads.iter().all(|load| load.table != *"_discards")));
}

#[test]
fn no_table_gets_more_columns_than_bigquery_has() {
    let traits: Vec<String> = (0..10_100).map(|nth| format!(r#""t{nth}":{nth}"#)).collect();
    let line = format!(
        r#"{{"type":"identify","messageId":"m","userId":"u","receivedAt":"2026-01-01T00:00:00Z","traits":{{{}}}}}"#,
        traits.join(",")
    );
    let mut draft = Draft::new(&Rules::default(), &DIALECT);
    draft.push_line(line.as_bytes());
    let plan = draft.plan(&Catalog::default());
    let mut catalog = Catalog::default();
    catalog.advance(&plan.changes);
    for table in ["identifies", "users", "_users_versions"] {
        let width = catalog.tables[table].columns.len();
        assert!(width > 9_900 && width <= 9_990, "{table}: {width}");
    }
    let kept = plan.commits.iter().flat_map(|commit| &commit.loads).filter(|load| load.table == *"_discards");
    assert!(kept.map(Load::rows).sum::<usize>() > 100);
}

#[test]
fn spans_are_inserted_one_after_the_other() {
    let script = script(&plan(&[LINE]), None, &[(0, 9), (10, 19), (20, 29)]);
    let inserts: Vec<&String> = script.iter().filter(|text| text.starts_with("INSERT INTO `d`.`identifies`")).collect();
    assert_eq!(inserts.len(), 3);
    assert!(
        inserts[1].contains("IN (SELECT `k` FROM `d`.`s0_0` WHERE `c0` >= TIMESTAMP '1970-01-01 00:00:00.000010+00'"),
        "{}",
        inserts[1]
    );
}

#[test]
fn tables_are_laid_out_for_what_is_asked_of_them() {
    let columns = [("id".into(), Type::Text), ("received_at".into(), Type::Timestamp)];
    let made = |kind, partition| Writer::new("d").create_table(&"t".into(), kind, &columns, partition).remove(0);
    let table = "CREATE TABLE IF NOT EXISTS `d`.`t` (`id` STRING, `received_at` TIMESTAMP)";
    assert_eq!(
        made(TableKind::Append, Partition::Day),
        format!("{table} PARTITION BY DATE(`received_at`) CLUSTER BY `id`")
    );
    assert_eq!(
        made(TableKind::Append, Partition::Month),
        format!("{table} PARTITION BY TIMESTAMP_TRUNC(`received_at`, MONTH) CLUSTER BY `id`")
    );
    assert_eq!(made(TableKind::Append, Partition::None), format!("{table} CLUSTER BY `id`"));
    assert_eq!(made(TableKind::Merge, Partition::Day), format!("{table} CLUSTER BY `id`"));
    // As many columns as there may be, with names as long as they may be.
    let long = |nth: usize| (Ident::new(format!("{}{nth:05}", "n".repeat(295))), Type::Timestamp);
    let wide: Vec<_> = columns.iter().cloned().chain((2..DIALECT.max_columns).map(long)).collect();
    let all = Writer::new("d").create_table(&"t".into(), TableKind::Append, &wide, Partition::Day);
    assert!(all.iter().all(|text| text.len() < 1_000_000) && all[0].contains("PARTITION BY"));
    assert_eq!(all.join(" ").matches("TIMESTAMP").count(), DIALECT.max_columns - 1);
    assert_eq!(
        Writer::new("d").add_columns(&"t".into(), &[("a".into(), Type::Int), ("b".into(), Type::Version)]),
        "ALTER TABLE `d`.`t` ADD COLUMN IF NOT EXISTS `a` INT64, ADD COLUMN IF NOT EXISTS `b` NUMERIC(29)"
    );
}
